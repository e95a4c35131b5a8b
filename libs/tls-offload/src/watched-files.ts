import { stat } from 'node:fs/promises';

/**
 * Tells when one of some files has changed, by looking at them from time to time: a watch of the kernel's would lose files that
 * are replaced by a rename or behind links that are switched, as Kubernetes does.
 */
export class WatchedFiles {
  readonly #timer: NodeJS.Timeout;
  /** Undefined until the first look, which so finds a change: the files may not be those any more that were read at the start. */
  #seen: string | undefined;
  #looking = false;

  /** @param changed  rejects never; not called again before it is done */
  constructor(
    private readonly files: readonly string[],
    intervalMilliseconds: number,
    private readonly changed: () => Promise<void>,
  ) {
    this.#timer = setInterval(() => void this.look(), intervalMilliseconds);
    this.#timer.unref();
  }

  /** Looks at once. */
  async look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const before = this.#seen;
      this.#seen = await this.#describe();
      if (before !== this.#seen) await this.changed();
    } finally {
      this.#looking = false;
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #describe(): Promise<string> {
    const described = this.files.map(async (file) => {
      try {
        const { dev, ino, size, mtimeMs, ctimeMs } = await stat(file);
        return [dev, ino, size, mtimeMs, ctimeMs].join();
      } catch (error) {
        return (error as NodeJS.ErrnoException).code ?? 'unknown';
      }
    });
    return (await Promise.all(described)).join(' ');
  }
}
