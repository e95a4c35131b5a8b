import type { KeyAlgorithm } from '../../algorithm/key-algorithm.js';
import type { KeyId } from '../../key/key.js';

/**
 * `give`: goes to the members of `to`, by way of the recovery token · `record`: members hold it, and the keyring is told ·
 * `none`: nothing to do · `cannot`: not by this ceremony · `conflict`: something else is in its place, which is not overwritten.
 */
export type PlannedAction = 'give' | 'record' | 'none' | 'cannot' | 'conflict';

/** What a ceremony would do about one key. */
export interface PlannedKey {
  readonly id: KeyId;
  readonly label: string;
  readonly algorithm: KeyAlgorithm;
  readonly action: PlannedAction;
  /** Members that would take it in. */
  readonly to: readonly string[];
  /** Members that have it. */
  readonly on: readonly string[];
  /** Why nothing can or need be done, or what is left to do another time. */
  readonly why?: string;
}

/** What became of one key. */
export interface KeyOutcome {
  readonly id: KeyId;
  readonly label: string;
  /** Members that were shown to hold it and to work with it, at the end. */
  readonly members: readonly string[];
  /** Why it is not where it should be. */
  readonly error?: Error;
}
