import { type OutgoingHttpHeaders, ServerResponse, STATUS_CODES } from 'node:http';
import { constants } from 'node:http2';
import type { TlsOffloadError, TlsOffloadErrorCode } from '../errors.js';
import type { ClientResponse } from './l7-request.js';

/** What a client is told of a fault: the status and the code, never an address or a cause. */
const statusByCode = {
  ERR_TLS_OFFLOAD_REQUEST_INVALID: 400,
  ERR_TLS_OFFLOAD_REQUEST_TIMEOUT: 408,
  ERR_TLS_OFFLOAD_REQUEST_TOO_LARGE: 413,
  ERR_TLS_OFFLOAD_REQUEST_MISDIRECTED: 421,
  ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE: 502,
  ERR_TLS_OFFLOAD_UPSTREAM_UNTRUSTED: 502,
  ERR_TLS_OFFLOAD_UPSTREAM_CERTIFICATE_REFUSED: 502,
  ERR_TLS_OFFLOAD_UPSTREAM_RESPONSE_INVALID: 502,
  ERR_TLS_OFFLOAD_UPSTREAMS_EXHAUSTED: 503,
  // Of the HSM, for a connection to an upstream.
  ERR_TLS_OFFLOAD_SIGNATURE_FAILED: 503,
  ERR_TLS_OFFLOAD_SIGNATURE_TIMEOUT: 503,
  ERR_TLS_OFFLOAD_SIGNATURES_SATURATED: 503,
  ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT: 504,
} as const satisfies Partial<Record<TlsOffloadErrorCode, number>>;

/** Answers with a problem document (RFC 9457); an answer that has begun is broken off, so that no part is taken for the whole. */
export function answerFault(response: ClientResponse, { code }: TlsOffloadError): void {
  if (response.headersSent) return breakOff(response);
  const status = code in statusByCode ? statusByCode[code as keyof typeof statusByCode] : 500;
  const title = STATUS_CODES[status];
  const body = JSON.stringify({ type: 'about:blank', title, status, code });
  const headers: Record<string, string> = { 'content-type': 'application/problem+json' };
  if (status === 503) headers['retry-after'] = '1';
  headers['content-length'] = String(Buffer.byteLength(body));
  // What is left of the request is not read, and where an unfit one ends is anybody's guess.
  if (response instanceof ServerResponse) headers.connection = 'close';
  else response.stream.once('finish', () => response.stream.close(constants.NGHTTP2_NO_ERROR));
  beginResponse(response, status, headers);
  endResponse(response, body);
}

/** Whether the client can be told nothing more. Node.js throws at an answer on a stream that is closed, destroyed or not. */
export function isGone(response: ClientResponse): boolean {
  if (response instanceof ServerResponse) return response.destroyed;
  return response.stream.destroyed || response.stream.closed;
}

/** Ends a stream that the client breaks off: Node.js would keep it until somebody has read what came on it. */
export function endWhenAborted(response: ClientResponse): void {
  if (response instanceof ServerResponse) return;
  const { stream } = response;
  stream.once('aborted', () => setImmediate(() => stream.destroy()));
}

export function breakOff(response: ClientResponse): void {
  if (response instanceof ServerResponse) response.destroy();
  else response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
}

// Both protocols have these alike, but with overloads of which TypeScript sees no common one.

export function beginResponse(response: ClientResponse, status: number, headers: OutgoingHttpHeaders): void {
  (response as ServerResponse).writeHead(status, headers);
}

export function endResponse(response: ClientResponse, body?: string, callback?: () => void): void {
  (response as ServerResponse).end(body, callback);
}
