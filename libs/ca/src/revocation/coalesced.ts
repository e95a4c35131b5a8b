/** At most this share of the time goes into work that is asked for again and again: a twentieth. */
const restFactor = 19;

/**
 * Runs work soon after it is asked for, however often it is asked for meanwhile: never twice at once, with a pause in between
 * that is at least the spacing and grows with how long the work takes.
 */
export class Coalesced {
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #isAskedAgain = false;
  #isClosed = false;
  #notBefore = 0;

  /** @param work  must not reject */
  constructor(
    private readonly work: () => Promise<void>,
    private readonly spacingMilliseconds: number,
  ) {}

  request(): void {
    if (this.#isClosed || this.#timer !== undefined) return;
    if (this.#running !== undefined) {
      this.#isAskedAgain = true;
      return;
    }
    const wait = Math.max(0, this.#notBefore - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#running = this.#run();
    }, wait);
    this.#timer.unref();
  }

  /** Starts nothing more and waits for what is running. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }

  async #run(): Promise<void> {
    const start = performance.now();
    await this.work();
    const end = performance.now();
    this.#notBefore = end + Math.max(this.spacingMilliseconds, restFactor * (end - start));
    this.#running = undefined;
    if (!this.#isAskedAgain) return;
    this.#isAskedAgain = false;
    this.request();
  }
}
