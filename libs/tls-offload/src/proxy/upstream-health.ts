import type { TlsOffloadError } from '../errors.js';
import type { HealthCheckConfig } from './l7-config.js';
import type { Upstream } from './upstream.js';

/** Asks every upstream at intervals how it is, whether it has requests or not. */
export class UpstreamHealth {
  readonly #timers = new Map<Upstream, NodeJS.Timeout>();
  #stopped = true;

  constructor(
    private readonly upstreams: readonly Upstream[],
    private readonly config: HealthCheckConfig,
  ) {}

  start(): void {
    this.#stopped = false;
    for (const upstream of this.upstreams) this.#check(upstream, { sound: upstream.healthy, inRow: 0 });
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  /** @param opinion  what the last checks said, and how many of them in a row */
  #check(upstream: Upstream, opinion: { sound: boolean; inRow: number }): void {
    const { intervalMilliseconds, healthyAfter, unhealthyAfter } = this.config;
    void this.#ask(upstream).then((sound) => {
      if (this.#stopped) return;
      let next = opinion;
      if (sound !== undefined) {
        next = { sound, inRow: sound === opinion.sound ? opinion.inRow + 1 : 1 };
        if (next.inRow >= (sound ? healthyAfter : unhealthyAfter)) upstream.healthy = sound;
      }
      const timer = setTimeout(() => this.#check(upstream, next), intervalMilliseconds);
      this.#timers.set(upstream, timer.unref());
    });
  }

  /** @returns undefined where it could not be asked, since our token did not sign: the connections that it has may do */
  #ask(upstream: Upstream): Promise<boolean | undefined> {
    const { path, timeoutMilliseconds } = this.config;
    return new Promise((resolve) => {
      const headers = { host: new URL(upstream.url).host, 'user-agent': 'nest-hsm-health-check' };
      const asked = upstream.request({ path, headers, connectTimeoutMilliseconds: timeoutMilliseconds });
      // Until there is one, the connector keeps the time, and says whose fault it is.
      asked.once('socket', () => {
        const timer = setTimeout(() => asked.destroy(new Error('no answer in time')), timeoutMilliseconds).unref();
        asked.once('close', () => clearTimeout(timer));
      });
      asked.once('error', (error) => {
        const { fault } = error as Partial<TlsOffloadError>;
        resolve(fault === 'token' ? undefined : false);
      });
      // Without an answer, or with one that is none (101).
      asked.once('close', () => resolve(false));
      asked.once('response', (response) => {
        const { statusCode = 500 } = response;
        response.on('error', () => undefined).resume();
        resolve(statusCode < 400);
      });
      asked.end();
    });
  }
}
