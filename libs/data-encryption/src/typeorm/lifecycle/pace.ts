import { setTimeout as delay } from 'node:timers/promises';

/** Holds several who share it to so much a second. */
export class Pace {
  #freeAt = performance.now();

  /** @param perSecond  undefined: no limit */
  constructor(private readonly perSecond: number | undefined) {}

  /** Waits until so much may be followed by more. @throws the signal's reason */
  async wait(amount: number, signal?: AbortSignal): Promise<void> {
    if (this.perSecond === undefined) return;
    this.#freeAt = Math.max(this.#freeAt, performance.now()) + (amount / this.perSecond) * 1_000;
    await delay(this.#freeAt - performance.now(), undefined, { signal });
  }
}
