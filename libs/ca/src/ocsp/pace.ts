import { setTimeout as delay } from 'node:timers/promises';

/** Lets so many through in a second, however many wait. */
export class Pace {
  readonly #interval: number;
  #next = 0;

  constructor(perSecond: number) {
    this.#interval = 1_000 / perSecond;
  }

  async turn(): Promise<void> {
    const now = performance.now();
    const at = Math.max(now, this.#next);
    this.#next = at + this.#interval;
    if (at > now) await delay(at - now);
  }
}
