import type { ExchangeRecord, HandshakeEvent, L4ConnectionEvent, SignatureEvent } from '@nest-hsm/tls-offload';
import { Counter, Histogram, type Registry } from 'prom-client';

/** Seconds, from a token in memory to a client that is about to be given up. */
const buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** What is counted when it happens. No label holds anything that a client chooses freely. */
export class TrafficMetrics {
  readonly #handshakes: Counter;
  readonly #handshakeSeconds: Histogram;
  readonly #signatureSeconds: Histogram;
  readonly #connections: Counter;
  readonly #requests: Counter;
  readonly #requestSeconds: Histogram;
  readonly #upstreamHandshakes: Counter;
  readonly #upstreamFailures: Counter;
  readonly #upkeepFailures: Counter;

  constructor(registry: Registry) {
    const registers = [registry];
    const counter = (name: string, help: string, ...labelNames: string[]): Counter =>
      new Counter({ name: `nest_hsm_tls_${name}`, help, labelNames, registers });
    const histogram = (name: string, help: string, ...labelNames: string[]): Histogram =>
      new Histogram({ name: `nest_hsm_tls_${name}`, help, labelNames, buckets, registers });
    this.#handshakes = counter(
      'handshakes_total',
      'Handshakes by what was negotiated and their result: OK or a code',
      ...['listener', 'protocol', 'cipher', 'result'],
    );
    this.#handshakeSeconds = histogram('handshake_seconds', 'From the TCP connection to security', 'listener');
    this.#signatureSeconds = histogram(
      'signature_wait_seconds',
      'How long handshakes waited for the HSM: signed, failed, shed (too many wait), cancelled (the client left)',
      ...['key', 'result'],
    );
    this.#connections = counter(
      'connections_ended_total',
      'Connections that were forwarded as they are, by how they ended: OK or a code',
      ...['listener', 'result'],
    );
    this.#requests = counter('requests_total', 'Requests by the status of their answer', 'listener', 'status');
    this.#requestSeconds = histogram(
      'request_seconds',
      'Requests, from their head to the end of the answer',
      'listener',
    );
    this.#upstreamHandshakes = counter(
      'upstream_handshakes_total',
      'Handshakes with upstreams by what was negotiated and their result: OK or a code',
      ...['listener', 'protocol', 'cipher', 'result'],
    );
    this.#upstreamFailures = counter(
      'upstream_failures_total',
      'Connections and requests ended for a fault of the upstream',
      ...['listener', 'code'],
    );
    this.#upkeepFailures = counter(
      'upkeep_failures_total',
      'Files of authorities and CRLs, OCSP responses and keys of session tickets that could not be brought up to date',
      ...['listener', 'code'],
    );
  }

  handshakeEnded(listener: string, { code, protocol = '', cipher = '', milliseconds }: HandshakeEvent): void {
    this.#handshakes.inc({ listener, protocol, cipher, result: code });
    if (code === 'OK') this.#handshakeSeconds.observe({ listener }, milliseconds / 1_000);
  }

  upstreamHandshakeEnded(listener: string, { code, protocol = '', cipher = '' }: HandshakeEvent): void {
    this.#upstreamHandshakes.inc({ listener, protocol, cipher, result: code });
  }

  signatureEnded({ key, result, milliseconds }: SignatureEvent): void {
    this.#signatureSeconds.observe({ key, result }, milliseconds / 1_000);
  }

  connectionEnded(listener: string, { code }: L4ConnectionEvent): void {
    this.#connections.inc({ listener, result: code });
  }

  requestEnded(listener: string, { status, durationMilliseconds, fault }: ExchangeRecord): void {
    this.#requests.inc({ listener, status: status ?? 'none' });
    this.#requestSeconds.observe({ listener }, durationMilliseconds / 1_000);
    if (fault?.fault === 'upstream') this.upstreamFailed(listener, fault.code);
  }

  upstreamFailed(listener: string, code: string): void {
    this.#upstreamFailures.inc({ listener, code });
  }

  /** @param listener  empty: of all */
  upkeepFailed(listener: string, code: string): void {
    this.#upkeepFailures.inc({ listener, code });
  }
}
