import { HsmError } from '../../errors.js';
import type { TrafficClass } from '../traffic-class.js';
import { type Caller, soleCaller } from './caller.js';

/** One request on its way through the agent: how long its caller waits, and whether the caller still wants it. */
export class Call {
  /** Told when it is cancelled: whoever lets it wait drops it at once. */
  onCancel: (() => void) | undefined;
  readonly #deadline: number;
  #isCancelled = false;
  #onTokenSince: number | undefined;

  constructor(
    remainingMilliseconds: number,
    /** At most 64 bytes; empty when the caller gave none. */
    readonly correlationId: string,
    /** 1 for the first of what its caller wants. */
    readonly attempt = 1,
    /** Whose turn it is to have a session, when several wait. */
    readonly caller: Caller = soleCaller,
    /** By default what agents do of themselves. */
    readonly trafficClass: TrafficClass = 'management',
  ) {
    this.#deadline = performance.now() + remainingMilliseconds;
  }

  /** Since when the token has been busy with it, on the clock of performance.now(); undefined while it is not. */
  get onTokenSince(): number | undefined {
    return this.#onTokenSince;
  }

  cancel(): void {
    this.#isCancelled = true;
    this.onCancel?.();
  }

  /** Asked right before the token is: what nobody waits for any more must not cost the token an operation. */
  throwIfOver(): void {
    if (this.#isCancelled) throw new HsmError('ERR_HSM_ABORTED', 'the caller gave up before the token was asked');
    if (performance.now() >= this.#deadline) {
      throw new HsmError('ERR_HSM_TIMEOUT', 'the deadline passed before the token was asked', { retryable: true });
    }
  }

  /** It has a session; `leaveToken` follows. */
  enterToken(): void {
    this.caller.role.shares.take(this.trafficClass);
    this.#onTokenSince = performance.now();
  }

  leaveToken(): void {
    this.caller.role.shares.give(this.trafficClass);
    this.#onTokenSince = undefined;
  }
}
