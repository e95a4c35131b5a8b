import { Counter, Gauge, type Registry } from 'prom-client';
import type { Sidecar } from '../serving/sidecar.js';

type Labels = Readonly<Record<string, string>>;
/** Sets one value; without labels, or with all that the metric has. */
type Put = (value: number, labels?: Labels) => void;
/** How the values of several workers become one. */
type Aggregator = 'sum' | 'min' | 'max';

/** What is read from the sidecar whenever metrics are asked for. */
export function registerStateMetrics(registry: Registry, sidecar: Sidecar): void {
  const registers = [registry];
  const gauge = (
    name: string,
    help: string,
    labelNames: string[],
    read: (put: Put) => void,
    aggregator: Aggregator = 'sum',
  ) => {
    const collect = (): void => {
      metric.reset();
      read((value, labels = {}) => metric.set(labels, value));
    };
    const metric = new Gauge({ name: `nest_hsm_tls_${name}`, help, labelNames, registers, collect, aggregator });
  };
  // What is read is a total, so every collection starts from nothing.
  const counter = (name: string, help: string, labelNames: string[], read: (put: Put) => void) => {
    const collect = (): void => {
      metric.reset();
      read((value, labels = {}) => metric.inc(labels, value));
    };
    const metric = new Counter({ name: `nest_hsm_tls_${name}`, help, labelNames, registers, collect });
  };

  gauge('connections', 'Connections', ['listener', 'state'], (put) => {
    for (const [listener, { handshaking, open }] of Object.entries(sidecar.statistics)) {
      put(handshaking, { listener, state: 'handshaking' });
      put(open, { listener, state: 'open' });
    }
  });
  gauge('signatures_pending', 'Handshakes that wait for the HSM', ['listener', 'key'], (put) => {
    for (const [listener, { pending }] of Object.entries(sidecar.statistics)) {
      for (const [key, value] of Object.entries(pending)) put(value, { listener, key });
    }
  });
  counter('connections_refused_total', 'Clients turned away at the connection limit', ['listener'], (put) => {
    for (const [listener, { totals }] of Object.entries(sidecar.statistics)) put(totals.refused, { listener });
  });
  counter('bytes_total', 'Plaintext forwarded as it is, by who sent it', ['listener', 'from'], (put) => {
    for (const [listener, { totals }] of Object.entries(sidecar.statistics)) {
      put(totals.fromClients, { listener, from: 'client' });
      put(totals.fromUpstream, { listener, from: 'upstream' });
    }
  });
  const untilEnd = 'Until the served certificate ends; negative: it has';
  gauge(
    'certificate_expiry_seconds',
    untilEnd,
    ['certificate'],
    perCertificate(({ notAfter }) => (notAfter.getTime() - Date.now()) / 1_000),
    'min',
  );
  const failing = 'Whether the certificate could not be renewed, or its file not be taken, when that was last tried';
  gauge(
    'certificate_failing',
    failing,
    ['certificate'],
    perCertificate((each) => Number(each.failing !== undefined)),
    'max',
  );
  counter(
    'certificate_renewal_failures_total',
    'Looks for a newer certificate that failed',
    ['certificate'],
    perCertificate(({ failures }) => failures),
  );
  gauge('ready', 'Whether clients are served', [], (put) => put(Number(sidecar.state === 'serving')));

  function perCertificate(value: (status: (typeof sidecar.certificates)[string]) => number): (put: Put) => void {
    return (put) => {
      for (const [certificate, status] of Object.entries(sidecar.certificates)) put(value(status), { certificate });
    };
  }
}
