import { Counter, Gauge, type Registry } from 'prom-client';
import type { Forwarding } from '../forwarding/forwarding.js';

/**
 * What the sidecar counts, in Prometheus' terms, read from its statistics whenever it is asked:
 *
 * tls_handshakes_total{result} · tls_handshake_signatures_total{key, result} · tls_handshake_signatures_pending{key} ·
 * tls_connections{state} · tls_upstream_failures_total{code} · tls_connections_refused_total ·
 * tls_certificate_expiry_timestamp_seconds
 */
export class SidecarMetrics {
  constructor(
    readonly registry: Registry,
    forwarding: Forwarding,
  ) {
    const registers = [registry];
    new Counter({
      name: 'tls_handshakes_total',
      help: 'Handshakes by result: the protocol version, or an error code',
      labelNames: ['result'],
      registers,
      collect() {
        this.reset();
        const { completed = {}, failed = {} } = forwarding.statistics?.terminator ?? {};
        for (const [result, count] of Object.entries({ ...completed, ...failed })) this.inc({ result }, count);
      },
    });
    new Counter({
      name: 'tls_handshake_signatures_total',
      help: 'Handshake signatures by key and result',
      labelNames: ['key', 'result'],
      registers,
      collect() {
        this.reset();
        for (const [key, { pending: _, ...results }] of Object.entries(
          forwarding.statistics?.terminator.signatures ?? {},
        )) {
          for (const [result, count] of Object.entries(results)) this.inc({ key, result }, count);
        }
      },
    });
    new Gauge({
      name: 'tls_handshake_signatures_pending',
      help: 'Handshakes that wait for the HSM',
      labelNames: ['key'],
      registers,
      collect() {
        for (const [key, { pending }] of Object.entries(forwarding.statistics?.terminator.signatures ?? {}))
          this.set({ key }, pending);
      },
    });
    new Gauge({
      name: 'tls_connections',
      help: 'Connections by state',
      labelNames: ['state'],
      registers,
      collect() {
        const { handshaking = 0, open = 0 } = forwarding.statistics?.terminator ?? {};
        this.set({ state: 'handshaking' }, handshaking);
        this.set({ state: 'open' }, open);
      },
    });
    new Counter({
      name: 'tls_upstream_failures_total',
      help: 'Connections ended for a fault of the upstream',
      labelNames: ['code'],
      registers,
      collect() {
        this.reset();
        for (const [code, count] of Object.entries(forwarding.statistics?.proxy.failed ?? {}))
          this.inc({ code }, count);
      },
    });
    new Counter({
      name: 'tls_connections_refused_total',
      help: 'Clients turned away at the connection limit',
      registers,
      collect() {
        this.reset();
        this.inc(forwarding.statistics?.proxy.refused ?? 0);
      },
    });
    new Gauge({
      name: 'tls_certificate_expiry_timestamp_seconds',
      help: 'When the certificate that is served expires; 0 while none is',
      registers,
      collect() {
        this.set((forwarding.notAfter?.getTime() ?? 0) / 1000);
      },
    });
  }
}
