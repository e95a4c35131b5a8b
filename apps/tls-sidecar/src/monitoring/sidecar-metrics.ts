import { Counter, Gauge, type Registry } from 'prom-client';
import type { Forwarding } from '../forwarding/forwarding.js';

type Labels = Readonly<Record<string, string>>;
/** Sets one value; without labels, or with all that the metric has. */
type Put = (value: number, labels?: Labels) => void;

/**
 * What the sidecar counts, in Prometheus' terms. The counting is done by the terminator and the proxy; it is read whenever
 * metrics are asked for.
 */
export class SidecarMetrics {
  constructor(
    readonly registry: Registry,
    private readonly forwarding: Forwarding,
  ) {
    this.#counter('handshakes_total', 'Handshakes completed', ['protocol'], (put) => {
      for (const [protocol, count] of entries(this.#terminator?.completed)) put(count, { protocol });
    });
    this.#counter('handshake_failures_total', 'Handshakes failed', ['code'], (put) => {
      for (const [code, count] of entries(this.#terminator?.failed)) put(count, { code });
    });
    this.#counter('signatures_total', 'Handshake signatures', ['key', 'result'], (put) => {
      for (const [key, { pending: _, ...results }] of entries(this.#terminator?.signatures)) {
        for (const [result, count] of entries(results)) put(count, { key, result });
      }
    });
    this.#gauge('signatures_pending', 'Handshakes that wait for the HSM', ['key'], (put) => {
      for (const [key, { pending }] of entries(this.#terminator?.signatures)) put(pending, { key });
    });
    this.#gauge('connections', 'Connections', ['state'], (put) => {
      put(this.#terminator?.handshaking ?? 0, { state: 'handshaking' });
      put(this.#terminator?.open ?? 0, { state: 'open' });
    });
    this.#counter('connections_refused_total', 'Clients turned away at the connection limit', [], (put) => {
      put(this.#proxy?.refused ?? 0);
    });
    this.#counter('upstream_failures_total', 'Connections ended for a fault of the upstream', ['code'], (put) => {
      for (const [code, count] of entries(this.#proxy?.failed)) put(count, { code });
    });
    this.#gauge('certificate_expiry_timestamp_seconds', 'When the served certificate ends; 0: none is', [], (put) => {
      put((this.forwarding.notAfter?.getTime() ?? 0) / 1000);
    });
  }

  get #terminator() {
    return this.forwarding.statistics?.terminator;
  }

  get #proxy() {
    return this.forwarding.statistics?.proxy;
  }

  #gauge(name: string, help: string, labelNames: string[], read: (put: Put) => void): void {
    const collect = (): void => read((value, labels = {}) => gauge.set(labels, value));
    const gauge = new Gauge({ name: `nest_hsm_tls_${name}`, help, labelNames, registers: [this.registry], collect });
  }

  /** What is read is a total, so every collection starts from nothing. */
  #counter(name: string, help: string, labelNames: string[], read: (put: Put) => void): void {
    const collect = (): void => {
      counter.reset();
      read((value, labels = {}) => counter.inc(labels, value));
    };
    const counter = new Counter({
      name: `nest_hsm_tls_${name}`,
      help,
      labelNames,
      registers: [this.registry],
      collect,
    });
  }
}

function entries<T>(record: Readonly<Partial<Record<string, T>>> = {}): [string, T][] {
  return Object.entries(record) as [string, T][];
}
