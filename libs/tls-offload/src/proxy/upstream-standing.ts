import type { ParsedL7ProxyConfig } from './l7-config.js';

/**
 * `serving`; `ejected`: left alone for a while after failures in a row, unless all are; `unhealthy`: its health check fails, and
 * it gets nothing.
 */
export type UpstreamState = 'serving' | 'ejected' | 'unhealthy';

/** An upstream is left alone from now on, or has done well again. */
export interface UpstreamChange {
  readonly url: string;
  readonly state: UpstreamState;
  /** What it did; absent: it serves again. */
  readonly reason?: string;
}

/** What is thought of an upstream, by its health checks and by the requests that it was given. */
export class UpstreamStanding {
  #isHealthy = true;
  #failuresInRow = 0;
  #ejectedUntil = 0;
  /** What was told last: an ejection that is over is one until the upstream has answered. */
  #told: UpstreamState = 'serving';

  constructor(
    private readonly limits: Pick<ParsedL7ProxyConfig, 'ejectAfter' | 'ejectMilliseconds'>,
    private readonly changed: (state: UpstreamState, reason?: string) => void,
  ) {}

  get state(): UpstreamState {
    if (!this.#isHealthy) return 'unhealthy';
    return performance.now() < this.#ejectedUntil ? 'ejected' : 'serving';
  }

  /** @param fault  what its health checks found; undefined: it is sound */
  judge(fault: string | undefined): void {
    const isHealthy = fault === undefined;
    if (isHealthy === this.#isHealthy) return;
    this.#isHealthy = isHealthy;
    this.#tell(isHealthy ? 'serving' : 'unhealthy', fault);
  }

  noteAnswer(): void {
    this.#failuresInRow = 0;
    if (this.#told === 'ejected') this.#tell('serving');
  }

  noteFailure(reason: string): void {
    const { ejectAfter, ejectMilliseconds } = this.limits;
    if (++this.#failuresInRow < ejectAfter) return;
    this.#ejectedUntil = performance.now() + ejectMilliseconds;
    // When it is tried again, one more failure is enough.
    this.#failuresInRow = ejectAfter - 1;
    if (this.#told === 'serving') this.#tell('ejected', reason);
  }

  #tell(state: UpstreamState, reason?: string): void {
    this.#told = state;
    this.changed(state, reason);
  }
}
