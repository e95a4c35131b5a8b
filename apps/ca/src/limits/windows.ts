/** Most keys that are counted at once: about 20 MB. */
const maximumKeys = 100_000;

interface Window {
  hits: number;
  readonly endsAt: number;
}

/** Counts hits in fixed windows of time, in bounded memory: when it is full, the window that began first is forgotten. */
export class Windows {
  readonly #windows = new Map<string, Window>();

  /** @param now  milliseconds of a clock that never goes back */
  constructor(
    private readonly maximum = maximumKeys,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** @returns hits of the window so far, these included, and milliseconds to its end */
  hit(key: string, milliseconds: number, hits = 1): { readonly hits: number; readonly endsIn: number } {
    const now = this.now();
    let window = this.#windows.get(key);
    if (window === undefined || window.endsAt <= now) {
      // At the end of the map again, since it begins anew.
      this.#windows.delete(key);
      if (this.#windows.size >= this.maximum) this.#forgetFirst();
      window = { hits: 0, endsAt: now + milliseconds };
      this.#windows.set(key, window);
    }
    window.hits += hits;
    return { hits: window.hits, endsIn: window.endsAt - now };
  }

  #forgetFirst(): void {
    for (const key of this.#windows.keys()) {
      this.#windows.delete(key);
      return;
    }
  }
}
