import { TlsOffloadError } from '../errors.js';
import type { HealthCheckConfig } from './l7-config.js';
import type { Upstream } from './upstream.js';
import { upstreamFault } from './upstream-fault.js';

interface Finding {
  /** Absent: it is sound. */
  readonly fault?: string;
}

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
    for (const upstream of this.upstreams)
      this.#check(upstream, { sound: upstream.standing.state !== 'unhealthy', inRow: 0 });
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  /** @param opinion  what the last checks said, and how many of them in a row */
  #check(upstream: Upstream, opinion: { sound: boolean; inRow: number }): void {
    const { intervalMilliseconds, healthyAfter, unhealthyAfter } = this.config;
    void this.#ask(upstream).then((finding) => {
      if (this.#stopped) return;
      let next = opinion;
      if (finding !== undefined) {
        const sound = finding.fault === undefined;
        next = { sound, inRow: sound === opinion.sound ? opinion.inRow + 1 : 1 };
        if (next.inRow >= (sound ? healthyAfter : unhealthyAfter)) upstream.standing.judge(finding.fault);
      }
      const timer = setTimeout(() => this.#check(upstream, next), intervalMilliseconds);
      this.#timers.set(upstream, timer.unref());
    });
  }

  /** @returns undefined where it could not be asked, since our token did not sign: the connections that it has may do */
  #ask(upstream: Upstream): Promise<Finding | undefined> {
    const { path, timeoutMilliseconds } = this.config;
    return new Promise((resolve) => {
      const fail = (fault: string): void => resolve({ fault });
      const headers = { host: new URL(upstream.url).host, 'user-agent': 'nest-hsm-health-check' };
      const asked = upstream.request({ path, headers, connectTimeoutMilliseconds: timeoutMilliseconds });
      // Until there is one, the connector keeps the time, and says whose fault it is.
      asked.once('socket', () => {
        const message = `GET ${path}: want an answer within ${timeoutMilliseconds} ms, got none`;
        const late = new TlsOffloadError('ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT', message);
        const timer = setTimeout(() => asked.destroy(late), timeoutMilliseconds).unref();
        asked.once('close', () => clearTimeout(timer));
      });
      asked.once('error', (error) => {
        const { fault, message } = upstreamFault(error);
        if (fault === 'token') resolve(undefined);
        else fail(message);
      });
      // Without an answer, or with one that is none (101).
      asked.once('close', () => fail(`GET ${path}: want an answer, got none`));
      asked.once('response', (response) => {
        const { statusCode = 500 } = response;
        response.on('error', () => undefined).resume();
        if (statusCode < 400) resolve({});
        else fail(`GET ${path}: want an answer below 400, got ${statusCode}`);
      });
      asked.end();
    });
  }
}
