import type { HsmError } from '@nest-hsm/hsm';
import { isLastingRefusal } from './signing.js';

/** Between two tries. */
const pauseMilliseconds = 1_000;

/**
 * Keeps certificates from being begun that the token does not sign, since each would be a committed TBS and then a serial on the CRL: while
 * it refuses an issuer's key, one a second tries whether it still does.
 */
export class LastingRefusals {
  readonly #byIssuer = new Map<string, { readonly error: HsmError; triesAt: number }>();

  /**
   * What comes before the token is asked. When it fails, the token was not, and the try is the next one's.
   * @throws {HsmError} that of the last try, while it is not time for another one; and what `prepare` throws
   */
  async beforeTry<T>(issuerId: string, prepare: () => Promise<T>): Promise<T> {
    const refusal = this.#byIssuer.get(issuerId);
    if (refusal === undefined) return prepare();
    const now = performance.now();
    if (now < refusal.triesAt) throw refusal.error;
    refusal.triesAt = now + pauseMilliseconds;
    try {
      return await prepare();
    } catch (error) {
      refusal.triesAt = now;
      throw error;
    }
  }

  signed(issuerId: string): void {
    this.#byIssuer.delete(issuerId);
  }

  failed(issuerId: string, error: unknown): void {
    if (!isLastingRefusal(error)) return;
    this.#byIssuer.set(issuerId, { error, triesAt: performance.now() + pauseMilliseconds });
  }
}
