import type { ClientRequest as OutgoingRequest, RequestOptions } from 'node:http';
import { TlsOffloadError } from '../errors.js';
import type { RequestEnd, Upstream } from './upstream.js';
import type { UpstreamPool } from './upstream-pool.js';

/** The upstreams that one exchange asks, one after the other and none twice, each of which is judged once. */
export class AskedUpstreams {
  readonly #asked = new Set<Upstream>();
  #last: Upstream | undefined;
  #end: ((end: RequestEnd) => void) | undefined;
  #connectedOnly = false;

  constructor(private readonly pool: UpstreamPool) {}

  /** URL of the one that was asked last. */
  get lastUrl(): string | undefined {
    return this.#last?.url;
  }

  /**
   * A request to the next one, as `Upstream.request`.
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_UPSTREAMS_EXHAUSTED | ERR_TLS_OFFLOAD_REQUEST_INVALID
   */
  request(options: RequestOptions): OutgoingRequest {
    const upstream = this.pool.take(this.#asked, this.#connectedOnly);
    let outgoing: OutgoingRequest;
    try {
      outgoing = upstream.request(options);
    } catch (cause) {
      throw new TlsOffloadError('ERR_TLS_OFFLOAD_REQUEST_INVALID', 'request: want fields of HTTP/1.1', { cause });
    }
    this.#asked.add(upstream);
    this.#last = upstream;
    this.#end = upstream.begin(outgoing);
    return outgoing;
  }

  /** The last one has answered. */
  noteAnswer(): void {
    this.#settle('answered');
  }

  /** It is over with the last one. @param fault  undefined: the client has gone */
  noteEnd(fault?: TlsOffloadError): void {
    this.#settle(fault?.fault === 'upstream' ? fault : 'unknown');
    // Any new connection would want a signature of the same token.
    this.#connectedOnly = fault?.fault === 'token';
  }

  #settle(end: RequestEnd): void {
    this.#end?.(end);
    this.#end = undefined;
  }
}

/** Whether another upstream may do better: not by the same settings, and hardly with the same certificate. */
export function isWorthAnother({ code, fault }: TlsOffloadError): boolean {
  return fault !== 'caller' && code !== 'ERR_TLS_OFFLOAD_UPSTREAM_CERTIFICATE_REFUSED';
}
