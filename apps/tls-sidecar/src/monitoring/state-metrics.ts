import type { Registry } from 'prom-client';
import type { Sidecar } from '../serving/sidecar.js';
import { Collected, type Put } from './collected.js';
import { registerUpkeepMetrics } from './upkeep-metrics.js';
import { registerUpstreamMetrics } from './upstream-metrics.js';

/** What is read from the sidecar whenever metrics are asked for. */
export function registerStateMetrics(registry: Registry, sidecar: Sidecar): void {
  const collected = new Collected(registry);
  registerConnections(collected, sidecar);
  registerUpstreamMetrics(collected, sidecar);
  registerCertificates(collected, sidecar);
  registerUpkeepMetrics(collected, sidecar);
  collected.gauge('ready', 'Whether clients are served', [], (put) => put(Number(sidecar.state === 'serving')));
}

function registerConnections(collected: Collected, sidecar: Sidecar): void {
  collected.gauge('connections', 'Connections', ['listener', 'state'], (put) => {
    for (const [listener, { handshaking, open }] of Object.entries(sidecar.statistics)) {
      put(handshaking, { listener, state: 'handshaking' });
      put(open, { listener, state: 'open' });
    }
  });
  collected.gauge('signatures_pending', 'Handshakes that wait for the HSM', ['listener', 'key'], (put) => {
    for (const [listener, { pending }] of Object.entries(sidecar.statistics)) {
      for (const [key, value] of Object.entries(pending)) put(value, { listener, key });
    }
  });
  const refused = 'Clients turned away at the limit of connections, by whose it is: of all, or of one source';
  collected.counter('connections_refused_total', refused, ['listener', 'limit'], (put) => {
    for (const [listener, { totals }] of Object.entries(sidecar.statistics)) {
      put(totals.refused, { listener, limit: 'all' });
      put(totals.refusedBySource, { listener, limit: 'source' });
    }
  });
  const clientsRefused = "Certificates of clients that were refused, by OpenSSL's reason";
  collected.counter('client_certificates_refused_total', clientsRefused, ['listener', 'reason'], (put) => {
    for (const [listener, { totals }] of Object.entries(sidecar.statistics)) {
      for (const [reason, value] of Object.entries(totals.clientsRefused)) put(value, { listener, reason });
    }
  });
  const resumed = 'Handshakes with a session ticket, without a signature';
  collected.counter('handshakes_resumed_total', resumed, ['listener'], (put) => {
    for (const [listener, { totals }] of Object.entries(sidecar.statistics)) put(totals.resumed, { listener });
  });
  collected.counter(
    'bytes_total',
    'Plaintext forwarded, by who sent it: all of it (L4), bodies and WebSockets (L7)',
    ['listener', 'from'],
    (put) => {
      for (const [listener, { totals }] of Object.entries(sidecar.statistics)) {
        put(totals.fromClients, { listener, from: 'client' });
        put(totals.fromUpstream, { listener, from: 'upstream' });
      }
    },
  );
}

function registerCertificates(collected: Collected, sidecar: Sidecar): void {
  collected.gauge(
    'certificate_expiry_seconds',
    'Until the served certificate ends; negative: it has',
    ['certificate'],
    perCertificate(({ notAfter }) => (notAfter.getTime() - Date.now()) / 1_000),
    'min',
  );
  collected.gauge(
    'certificate_failing',
    'Whether the certificate could not be renewed, or its file not be taken, when that was last tried',
    ['certificate'],
    perCertificate((each) => Number(each.failing !== undefined)),
    'max',
  );
  collected.counter(
    'certificate_renewal_failures_total',
    'Looks for a newer certificate that failed',
    ['certificate'],
    perCertificate(({ failures }) => failures),
  );

  function perCertificate(value: (status: (typeof sidecar.certificates)[string]) => number): (put: Put) => void {
    return (put) => {
      for (const [certificate, status] of Object.entries(sidecar.certificates)) put(value(status), { certificate });
    };
  }
}
