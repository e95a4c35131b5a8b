import type { Credential } from '../credential.js';

/** Where a certificate and its key come from, asked again and again by a `CredentialKeeper`. */
export interface CredentialSource {
  /** In messages and metrics. */
  readonly name: string;
  /** How long a look may be put off. */
  readonly intervalMilliseconds: number;
  /** How long after failures at most. */
  readonly longestBackOffMilliseconds: number;
  /**
   * Looks whether there is something newer.
   * @param current  what is being served; undefined before the first
   * @returns what is to be served in its place, proven by a handshake; undefined when `current` is right
   * @throws {TlsOffloadError | HsmError} why it cannot say; never undefined while there is no `current`
   */
  look(current: Credential | undefined, signal?: AbortSignal): Promise<Credential | undefined>;
}
