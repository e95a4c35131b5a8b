/** Failures in a row after which a member is given no calls for a while. */
const failuresAllowed = 5;
const firstMilliseconds = 500;
const longestMilliseconds = 30_000;

/**
 * Whether a member that answers, answers rightly. Open after a row of failures, or at once after a wrong answer; then it is
 * given nothing until it has passed a probe, which it gets after a pause that doubles while it fails.
 */
export class Breaker {
  #failures = 0;
  #openings = 0;
  #probeAt = 0;

  get isOpen(): boolean {
    return this.#probeAt > 0;
  }

  /** Whether it is time to let it try again. */
  wantsProbe(now: number): boolean {
    return this.isOpen && now >= this.#probeAt;
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** @param isGrave  once is enough: a wrong answer, or a token that asked for a pause */
  failed(now: number, isGrave: boolean): void {
    // Calls that were under way when it opened say nothing new.
    if (this.isOpen && now < this.#probeAt) return;
    if (!this.isOpen && !isGrave && ++this.#failures < failuresAllowed) return;
    this.#probeAt = now + Math.min(longestMilliseconds, firstMilliseconds * 2 ** this.#openings);
    this.#openings = Math.min(this.#openings + 1, 10);
  }

  /** It passed a probe, or it is another agent now. */
  close(): void {
    this.#failures = 0;
    this.#openings = 0;
    this.#probeAt = 0;
  }
}
