import { TlsOffloadError } from '../errors.js';
import type { ParsedL7ProxyConfig, UpstreamConfig } from './l7-config.js';
import { Upstream, type UpstreamStatistics } from './upstream.js';
import type { UpstreamConnector } from './upstream-connection.js';
import type { UpstreamChange } from './upstream-standing.js';
import { UpstreamHealth } from './upstream-health.js';

/** The servers behind a proxy: who gets the next request. */
export class UpstreamPool {
  readonly #upstreams: readonly Upstream[];
  readonly #health: UpstreamHealth | undefined;
  #turn = 0;

  /** @param changed  told of each upstream that is left alone, and when it is given requests again */
  constructor(
    config: ParsedL7ProxyConfig,
    connectorOf: (upstream: UpstreamConfig) => UpstreamConnector,
    changed: (change: UpstreamChange) => void,
  ) {
    this.#upstreams = config.upstreams.map((each) => new Upstream(each, config, connectorOf(each), changed));
    if (config.healthCheck !== undefined) this.#health = new UpstreamHealth(this.#upstreams, config.healthCheck);
  }

  get statistics(): readonly UpstreamStatistics[] {
    return this.#upstreams.map(({ statistics }) => statistics);
  }

  start(): void {
    this.#health?.start();
  }

  close(): void {
    this.#health?.stop();
    for (const upstream of this.#upstreams) upstream.close();
  }

  /**
   * The upstream with the fewest requests under way, in turn among equals. One that is ejected is taken when there is no other:
   * being wrong about it costs a request, leaving it alone costs all.
   * @param tried  not to be taken again
   * @param connectedOnly  one that needs no new connection
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_UPSTREAMS_EXHAUSTED
   */
  take(tried: ReadonlySet<Upstream> = new Set(), connectedOnly = false): Upstream {
    const candidates = this.#upstreams.filter(
      (each) =>
        each.standing.state !== 'unhealthy' &&
        !each.isFull &&
        !tried.has(each) &&
        (!connectedOnly || each.hasFreeConnection),
    );
    const sound = candidates.filter(({ standing }) => standing.state === 'serving');
    const eligible = sound.length > 0 ? sound : candidates;
    if (eligible.length === 0) {
      throw new TlsOffloadError(
        'ERR_TLS_OFFLOAD_UPSTREAMS_EXHAUSTED',
        'upstreams: want one that is sound and has room, got none',
      );
    }
    const fewest = Math.min(...eligible.map(({ inFlight }) => inFlight));
    const least = eligible.filter(({ inFlight }) => inFlight === fewest);
    return least[this.#turn++ % least.length];
  }
}
