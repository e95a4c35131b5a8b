import { HsmError } from '../../errors.js';

/** One request on its way through the agent: how long its caller waits, and whether the caller still wants it. */
export class Call {
  readonly #deadline: number;
  #isCancelled = false;

  constructor(
    remainingMilliseconds: number,
    /** At most 64 bytes; empty when the caller gave none. */
    readonly correlationId: string,
  ) {
    this.#deadline = performance.now() + remainingMilliseconds;
  }

  cancel(): void {
    this.#isCancelled = true;
  }

  /** Asked right before the token is: what nobody waits for any more must not cost the token an operation. */
  throwIfOver(): void {
    if (this.#isCancelled) throw new HsmError('ERR_HSM_ABORTED', 'the caller gave up before the token was asked');
    if (performance.now() >= this.#deadline) {
      throw new HsmError('ERR_HSM_TIMEOUT', 'the deadline passed before the token was asked', { retryable: true });
    }
  }
}
