import { IncomingMessage, type ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { TlsOffloadError } from '../errors.js';
import { isAuthority, isMeantFor } from '../request-host.js';
import type { TlsSocket } from '../socket.js';
import { plainAddress, type TrustedPeers } from '../peer-address.js';
import { writeIdentity } from './forwarded.js';
import { type Fields, fieldsOf, listOf, removeConnectionFields } from './l7-fields.js';

export type ClientRequest = IncomingMessage | Http2ServerRequest;
export type ClientResponse = ServerResponse | Http2ServerResponse;

/** What is asked of an upstream. */
export interface UpstreamRequest {
  readonly method: string;
  /** Path and query, byte for byte as the client sent them. */
  readonly path: string;
  /** Complete: Host and the framing of the body are among them. */
  readonly fields: Fields;
  readonly hasBody: boolean;
  /** The client waits for 100 before it sends its body. */
  readonly expectsContinue: boolean;
}

const pathPattern = /^\/[\x21\x22\x24-\x7e\x80-\xff]*$/;

export interface RequestRules {
  readonly trustedPeers: TrustedPeers;
  readonly requireMatchingHost: boolean;
}

/**
 * What to ask an upstream for a client's request: with nothing of the client's connection, and who the client is.
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_REQUEST_INVALID | ERR_TLS_OFFLOAD_REQUEST_MISDIRECTED
 */
export function upstreamRequestOf(request: ClientRequest, rules: RequestRules): UpstreamRequest {
  const fields = fieldsOf(request.rawHeaders);
  const { authority, path } = targetOf(request, fields);
  const { hasBody, framing } = bodyOf(request, fields);
  // Not to be heeded of HTTP/1.0 (RFC 9110 §10.1.1).
  const expectsContinue = request.httpVersion !== '1.0' && listOf(fields, 'expect').includes('100-continue');
  const wantsTrailers = listOf(fields, 'te').some((each) => each.startsWith('trailers'));
  removeConnectionFields(fields);
  const socket = request.socket as unknown as TlsSocket;
  if (rules.requireMatchingHost && !isMeantFor(socket.servername, authority)) {
    throw new TlsOffloadError(
      'ERR_TLS_OFFLOAD_REQUEST_MISDIRECTED',
      'request: want the server name of the handshake in Host, got another',
    );
  }
  // Some upstreams read a host in it, and so another one than was compared.
  if (rules.requireMatchingHost && path.startsWith('//')) throw invalid('want a path that does not begin with //');
  const address = plainAddress(socket.remoteAddress ?? '');
  const { localPort, peerCertificateChain } = socket;
  const client = { address, localPort, authority, certificateChain: peerCertificateChain ?? [] };
  writeIdentity(fields, client, rules.trustedPeers.has(address));
  fields.set('host', [authority]);
  fields.delete('expect');
  if (expectsContinue && hasBody) fields.set('expect', ['100-continue']);
  fields.delete('content-length');
  if (framing !== undefined) fields.set(...framing);
  if (wantsTrailers) fields.set('te', ['trailers']).set('connection', ['keep-alive, te']);
  const cookies = fields.get('cookie');
  // HTTP/2 may send it in pieces, HTTP/1.1 may not (RFC 9113 §8.2.3).
  if (cookies !== undefined && cookies.length > 1) fields.set('cookie', [cookies.join('; ')]);
  return { method: request.method ?? '', path, fields, hasBody, expectsContinue: expectsContinue && hasBody };
}

function targetOf(request: ClientRequest, fields: Fields): { authority: string; path: string } {
  const hosts = fields.get('host') ?? [];
  if (hosts.length > 1) throw invalid('want one Host, got more');
  let [authority] = hosts as (string | undefined)[];
  let path = request.url ?? '';
  if (request instanceof IncomingMessage) {
    // The absolute form overrules Host (RFC 9112 §3.2.2).
    const absolute = /^https?:\/\/([^/?#]*)(.*)$/i.exec(path);
    if (absolute !== null) {
      authority = absolute[1];
      path = absolute[2].startsWith('/') ? absolute[2] : `/${absolute[2]}`;
    }
  } else {
    const { [':authority']: pseudo } = request.headers;
    if (pseudo !== undefined && authority !== undefined && pseudo !== authority) {
      throw invalid('want Host to be :authority, got another');
    }
    authority = pseudo ?? authority;
  }
  if (authority === undefined || !isAuthority(authority)) throw invalid('want a host and port in Host');
  if (!pathPattern.test(path) && !(path === '*' && request.method === 'OPTIONS')) throw invalid('want a path');
  return { authority, path };
}

/** How the body goes on to an upstream: with the length that the client told, or in chunks (RFC 9112 §6). */
function bodyOf(
  request: ClientRequest,
  fields: Fields,
): { hasBody: boolean; framing?: [name: string, value: string[]] } {
  // Any other coding would be lost with the field, and HTTP/1.0 has none (RFC 9112 §6.1).
  const codings = listOf(fields, 'transfer-encoding').join();
  if (codings !== '' && (codings !== 'chunked' || request.httpVersion === '1.0')) {
    throw invalid('want no Transfer-Encoding but chunked, of HTTP/1.1');
  }
  const lengths = fields.get('content-length') ?? [];
  if (lengths.length > 1) throw invalid('want one Content-Length, got more');
  const [length] = lengths as (string | undefined)[];
  if (length !== undefined) {
    if (!/^\d{1,15}$/.test(length)) throw invalid('want a number in Content-Length');
    return { hasBody: Number(length) > 0, framing: ['content-length', [length]] };
  }
  const hasBody =
    request instanceof IncomingMessage ? fields.has('transfer-encoding') : !request.stream.endAfterHeaders;
  if (hasBody) return { hasBody, framing: ['transfer-encoding', ['chunked']] };
  // A method that usually has a body says that it has none (RFC 9110 §8.6).
  const usual = ['POST', 'PUT', 'PATCH'].includes(request.method ?? '');
  return usual ? { hasBody, framing: ['content-length', ['0']] } : { hasBody };
}

function invalid(message: string): TlsOffloadError {
  return new TlsOffloadError('ERR_TLS_OFFLOAD_REQUEST_INVALID', `request: ${message}`);
}
