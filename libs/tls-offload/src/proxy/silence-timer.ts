/**
 * Tells when nothing has moved for a time. A process that has itself stood still (stopped, swapped out, a busy loop) finds its timers
 * due before it has read what came meanwhile: so that is read first, and nobody is blamed for a silence that was ours.
 */
export class SilenceTimer {
  readonly #timer: NodeJS.Timeout;
  #verdict: NodeJS.Immediate | undefined;

  /** @param milliseconds  of silence, until onSilence is called, once */
  constructor(milliseconds: number, onSilence: () => void) {
    this.#timer = setTimeout(() => {
      this.#verdict = setImmediate(onSilence);
    }, milliseconds);
  }

  /** Something has moved. */
  noteLife(): void {
    clearImmediate(this.#verdict);
    this.#timer.refresh();
  }

  stop(): void {
    clearImmediate(this.#verdict);
    clearTimeout(this.#timer);
  }
}
