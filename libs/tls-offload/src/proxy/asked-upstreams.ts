import type { ClientRequest as OutgoingRequest, RequestOptions } from 'node:http';
import { TlsOffloadError } from '../errors.js';
import type { Upstream } from './upstream.js';
import type { UpstreamPool } from './upstream-pool.js';

/** The upstreams that one exchange asks, one after the other and none twice, each of which is judged once. */
export class AskedUpstreams {
  readonly #asked = new Set<Upstream>();
  #last: Upstream | undefined;
  #end: ((failed: boolean) => void) | undefined;

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
    const upstream = this.pool.take(this.#asked);
    let outgoing: OutgoingRequest;
    try {
      outgoing = upstream.request(options);
    } catch (cause) {
      throw new TlsOffloadError('ERR_TLS_OFFLOAD_REQUEST_INVALID', 'request: want fields of HTTP/1.1', { cause });
    }
    this.#asked.add(upstream);
    this.#last = upstream;
    this.#end = upstream.begin();
    return outgoing;
  }

  /** The last one has done its part. @param fault  why it has not, which may be somebody else's */
  settle(fault?: TlsOffloadError): void {
    this.#end?.(fault?.fault === 'upstream');
    this.#end = undefined;
  }
}

/** Whether another upstream may do better: it would want the same signature of the same token. */
export function isWorthAnother({ fault }: TlsOffloadError): boolean {
  return fault !== 'token';
}
