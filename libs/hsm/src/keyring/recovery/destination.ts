import type { Keyring } from '../keyring.js';
import type { Replication, ReplicationTerms } from '../replication.js';
import type { ReplicationMember } from '../replication-member.js';

/** The fleet that keys are brought to. */
export interface Destination {
  readonly keyring: Keyring;
  readonly replication: Replication;
  readonly terms: ReplicationTerms;
  members(): readonly ReplicationMember[];
}
