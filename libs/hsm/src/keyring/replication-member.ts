import type { Answer, Request, TokenDescription } from '../agent/protocol.js';
import type { FleetCallOptions, FleetVerb } from '../fleet/call-options.js';

/** What replication needs of a member of the fleet. */
export interface ReplicationMember {
  readonly name: string;
  /** Whether it would answer now. */
  readonly isReachable: boolean;
  readonly token: TokenDescription | undefined;
  /** Of its key for taking keys in, as two people confirmed it; without one it is sent nothing. */
  readonly fingerprint: string | undefined;
  /** Makes one call on this member or not at all. */
  call<V extends FleetVerb>(verb: V, request: Request<V>, options: FleetCallOptions): Promise<Answer<V>>;
}
