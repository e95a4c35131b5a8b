import { sourceOf } from '../peer-address.js';

/** The open connections of each source. There are never more entries than connections. */
export class SourceConnections {
  readonly #counts = new Map<string, number>();

  /** @param limit  connections of one source at a time; undefined: as many as it likes */
  constructor(private readonly limit: number | undefined) {}

  /** @returns false at the limit; otherwise `release` has to follow */
  take(address: string): boolean {
    if (this.limit === undefined) return true;
    const source = sourceOf(address);
    const count = this.#counts.get(source) ?? 0;
    if (count >= this.limit) return false;
    this.#counts.set(source, count + 1);
    return true;
  }

  release(address: string): void {
    const source = sourceOf(address);
    const count = this.#counts.get(source) ?? 0;
    if (count > 1) this.#counts.set(source, count - 1);
    else this.#counts.delete(source);
  }

  get sources(): number {
    return this.#counts.size;
  }
}
