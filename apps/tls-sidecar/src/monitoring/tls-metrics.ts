import { collectDefaultMetrics, Counter, Gauge } from 'prom-client';
import type { TlsGateway } from '../gateway/tls-gateway.js';

/** What the TLS side counts, read from it whenever metrics are collected. */
export function registerTlsMetrics(gateway: TlsGateway): void {
  collectDefaultMetrics();
  gauge('nest_hsm_tls_connections', 'Connections that are being forwarded', [], (metric) =>
    metric.set(gateway.connections?.open ?? 0),
  );
  gauge('nest_hsm_tls_handshakes_in_progress', 'Handshakes under way', [], (metric) =>
    metric.set(gateway.handshakes?.handshaking ?? 0),
  );
  gauge('nest_hsm_tls_signatures_pending', 'Handshake signatures asked of the HSM', ['key'], (metric) => {
    for (const [key, { pending }] of Object.entries(gateway.handshakes?.signatures ?? {})) metric.set({ key }, pending);
  });
  gauge('nest_hsm_tls_certificate_expiry_seconds', 'When the certificate ends, in seconds since 1970', [], (metric) => {
    if (gateway.certificateExpiry !== undefined) metric.set(gateway.certificateExpiry.getTime() / 1_000);
  });
  counter('nest_hsm_tls_handshakes_total', 'Handshakes completed, by protocol', ['protocol'], (add) => {
    for (const [protocol, count] of Object.entries(gateway.handshakes?.completed ?? {})) add({ protocol }, count);
  });
  counter('nest_hsm_tls_handshake_failures_total', 'Handshakes failed, by error code', ['code'], (add) => {
    for (const [code, count] of Object.entries(gateway.handshakes?.failed ?? {})) add({ code }, count);
  });
  counter('nest_hsm_tls_upstream_failures_total', 'Connections the upstream failed, by error code', ['code'], (add) => {
    for (const [code, count] of Object.entries(gateway.connections?.failed ?? {})) add({ code }, count);
  });
  counter('nest_hsm_tls_connections_refused_total', 'Clients turned away at the connection limit', [], (add) =>
    add({}, gateway.connections?.refused ?? 0),
  );
}

function gauge(name: string, help: string, labelNames: string[], read: (metric: Gauge) => void): void {
  new Gauge({
    name,
    help,
    labelNames,
    collect() {
      read(this);
    },
  });
}

/** The counting is done elsewhere: each collection starts anew from the totals. */
function counter(
  name: string,
  help: string,
  labelNames: string[],
  read: (add: (labels: Record<string, string>, count: number) => void) => void,
): void {
  new Counter({
    name,
    help,
    labelNames,
    collect() {
      this.reset();
      read((labels, count) => this.inc(labels, count));
    },
  });
}
