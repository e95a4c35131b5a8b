import type { UpstreamStatistics } from '@nest-hsm/tls-offload';
import type { Sidecar } from '../serving/sidecar.js';
import type { Collected, Put } from './collected.js';

/** The servers that requests are forwarded to, as each listener sees them. */
export function registerUpstreamMetrics(collected: Collected, sidecar: Sidecar): void {
  const labels = ['listener', 'upstream'];
  collected.gauge(
    'upstream_serving',
    'Whether the upstream is given requests (L7): 0 while its health check fails, and for a while after failures in a row',
    labels,
    perUpstream(({ state }) => Number(state === 'serving'), Math.min),
    'min',
  );
  collected.gauge(
    'upstream_requests',
    'Requests and WebSockets that the upstream is at work on (L7)',
    labels,
    perUpstream(
      ({ inFlight }) => inFlight,
      (a, b) => a + b,
    ),
  );

  /** @param together  of one that is listed twice */
  function perUpstream(
    value: (upstream: UpstreamStatistics) => number,
    together: (a: number, b: number) => number,
  ): (put: Put) => void {
    return (put) => {
      for (const [listener, { upstreams }] of Object.entries(sidecar.statistics)) {
        const byUrl = new Map<string, number>();
        for (const each of upstreams) {
          const before = byUrl.get(each.url);
          byUrl.set(each.url, before === undefined ? value(each) : together(before, value(each)));
        }
        for (const [upstream, all] of byUrl) put(all, { listener, upstream });
      }
    };
  }
}
