import { CaError } from '../errors.js';

/**
 * Bounds what is worked on at once, and what waits for its turn. So a token that slows down is not asked for more than it can do,
 * and what would wait too long is refused at once instead.
 */
export class Admission {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(
    private readonly concurrent: number,
    private readonly waiting: number,
  ) {}

  /** @throws {CaError} ERR_CA_OVERLOADED before anything is done; and what `work` throws */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.concurrent) this.#running += 1;
    else await this.#turn();
    try {
      return await work();
    } finally {
      // The turn is handed on, or given back.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  async #turn(): Promise<void> {
    if (this.#waiting.length >= this.waiting)
      throw new CaError('ERR_CA_OVERLOADED', `orders: want at most ${this.waiting} waiting, got one more`);
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
