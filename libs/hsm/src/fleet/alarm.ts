const longestTimerMilliseconds = 2 ** 31 - 1;

/**
 * One timer for many deadlines: `at` is a comparison while a call comes and goes, and a timer is made only when an earlier
 * moment is wanted. It rings once at the earliest moment asked for, perhaps a millisecond early or for nothing; the listener
 * looks at the clock and asks again.
 */
export class Alarm {
  #timer: NodeJS.Timeout | undefined;
  #ringsAt = Infinity;

  constructor(private readonly ring: () => void) {}

  /** @param moment  on the clock of performance.now() */
  at(moment: number): void {
    if (moment >= this.#ringsAt) return;
    clearTimeout(this.#timer);
    this.#ringsAt = moment;
    const delay = Math.min(Math.max(Math.ceil(moment - performance.now()), 1), longestTimerMilliseconds);
    this.#timer = setTimeout(() => {
      // After a pause of the event loop answers may lie unread: the poll phase comes before the verdict.
      setImmediate(() => {
        if (this.#ringsAt === -Infinity) return;
        this.#ringsAt = Infinity;
        this.ring();
      });
    }, delay);
  }

  /** For good. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#ringsAt = -Infinity;
  }
}
