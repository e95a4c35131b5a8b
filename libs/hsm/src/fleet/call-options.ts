import type { Verb } from '../agent/protocol.js';
import type { TrafficClass } from '../agent/traffic-class.js';

export interface FleetCallOptions {
  readonly deadlineMilliseconds?: number;
  readonly signal?: AbortSignal;
  /** Told when the call is settled while members still have it: until when. */
  readonly onLingering?: (ended: Promise<void>) => void;
  readonly correlationId?: string;
  /** Send it to a second member when the first takes unusually long. */
  readonly hedge?: boolean;
  /** By default that of the verb; `management` for a call on one member. */
  readonly trafficClass?: TrafficClass;
  /** Default `application`. */
  readonly purpose?: CallPurpose;
}

/**
 * `application`: somebody outside asked for it. `probe`: whether the member signs. `look-up`: what became of a key in the
 * making, for another call.
 */
export type CallPurpose = 'application' | 'probe' | 'look-up';

/** What callers may ask for; the rest of the protocol is between client and agent. */
export type FleetVerb = Exclude<Verb, 'hello' | 'ping' | 'cancel'>;
