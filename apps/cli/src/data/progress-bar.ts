/** One line on a terminal that says how far something has come, and how long it will take. Elsewhere it says nothing. */
export class ProgressBar {
  readonly #startedAt = performance.now();
  #wasAt = -Infinity;
  #startRows: number | undefined;

  constructor(
    private readonly what: string,
    private readonly stream: NodeJS.WriteStream = process.stderr,
  ) {}

  show(done: number, of: number): void {
    const now = performance.now();
    if (!this.stream.isTTY || now - this.#wasAt < 100) return;
    this.#wasAt = now;
    // What had been done before is no measure of how fast it goes.
    this.#startRows ??= done;
    const seconds = (now - this.#startedAt) / 1_000;
    const perSecond = (done - this.#startRows) / seconds;
    const share = of === 0 ? 1 : Math.min(1, done / of);
    const left = perSecond > 0 ? `, ${duration(Math.max(0, of - done) / perSecond)} left` : '';
    const bar = '█'.repeat(Math.round(share * 24)).padEnd(24, '░');
    const counts = `${done.toLocaleString('en')} of ${of.toLocaleString('en')} rows`;
    this.stream.write(`\r\x1b[K${this.what} ${bar} ${Math.floor(share * 100)} %, ${counts}${left}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.stream.isTTY && this.#wasAt > 0) this.stream.write('\r\x1b[K');
  }
}

function duration(seconds: number): string {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  if (seconds < 3_600) return `${Math.ceil(seconds / 60)} min`;
  return `${(seconds / 3_600).toFixed(1)} h`;
}
