import type { ParsedTerminatorConfig } from './config.js';
import { sourceOf } from './peer-address.js';

interface Source {
  /** Handshakes under way. */
  underWay: number;
  /** Handshakes that may still begin at once; refilled by the second. */
  allowance: number;
  /** When the allowance was right, in milliseconds of `now`. */
  at: number;
}

/**
 * What one address, or one /64 of IPv6, may ask of the HSM: so many handshakes at once, so many a second. The table of sources is
 * bounded: those seen longest ago are forgotten first, except while a handshake of theirs is under way.
 */
export class SourceLimits {
  readonly #sources = new Map<string, Source>();

  constructor(
    private readonly limits: ParsedTerminatorConfig['sourceLimits'],
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** @returns false when a limit is reached; otherwise `leave` has to follow */
  enter(address: string): boolean {
    const name = sourceOf(address);
    const { handshakesAtOnce, handshakesPerSecond, burst } = this.limits;
    const now = this.now();
    const source = this.#sources.get(name) ?? { underWay: 0, allowance: burst, at: now };
    if (handshakesPerSecond !== undefined) {
      source.allowance = Math.min(burst, source.allowance + ((now - source.at) / 1000) * handshakesPerSecond);
      source.at = now;
    }
    // To the end of the map's order: what was seen last.
    this.#sources.delete(name);
    this.#sources.set(name, source);
    this.#forget();
    if (source.underWay >= handshakesAtOnce) return false;
    if (handshakesPerSecond !== undefined && source.allowance < 1) return false;
    source.allowance--;
    source.underWay++;
    return true;
  }

  /** Of a handshake that is over: its place is held as long as a token is at work for it. */
  hold(address: string, ended: Promise<void>): void {
    const source = this.#sources.get(sourceOf(address));
    if (source === undefined) return;
    source.underWay++;
    void ended.then(() => source.underWay--);
  }

  leave(address: string): void {
    const source = this.#sources.get(sourceOf(address));
    if (source !== undefined) source.underWay--;
  }

  /** Sources that are remembered. */
  get size(): number {
    return this.#sources.size;
  }

  /** At most one each time: whatever came in one at a time goes so. */
  #forget(): void {
    if (this.#sources.size <= this.limits.trackedSources) return;
    for (const [name, { underWay }] of this.#sources) {
      if (underWay > 0) continue;
      this.#sources.delete(name);
      return;
    }
  }
}
