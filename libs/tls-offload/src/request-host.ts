import { IncomingMessage } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';
import { isIP } from 'node:net';
import type { TlsSocket } from './socket.js';

// Of a registered name letters, digits, `-`, `_` and `.` alone: some applications decode `%2e`, and so read another name than we do.
const authorityPattern = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/;

/** A host, and perhaps a port (RFC 9110 §7.2). */
export function isAuthority(text: string): boolean {
  return authorityPattern.test(text);
}

/**
 * Whether a request for this authority may come on a connection with this server name: another name may have another certificate,
 * and other rules about clients (RFC 9110 §7.4). Who named no server may ask for an address only.
 */
export function isMeantFor(serverName: string | false, authority: string): boolean {
  const host = authority.replace(/:\d+$/, '').toLowerCase();
  if (serverName === false) return isIP(host.replace(/^\[|\]$/g, '')) !== 0;
  // Not so the other way: a server name with a dot at its end (against RFC 6066 §3) got nobody's certificate and policy.
  return host.replace(/\.$/, '') === serverName.toLowerCase();
}

/** Whether all that a request says of the host it is for is its connection's server name, and it says so at all. */
export function namesItsServer(request: IncomingMessage | Http2ServerRequest): boolean {
  const { servername } = request.socket as unknown as TlsSocket;
  // Some applications read a host in it (RFC 3986 §4.2), and so another one than we have compared.
  if (request.url?.startsWith('//') === true) return false;
  const authorities = authoritiesOf(request);
  return authorities.length > 0 && authorities.every((each) => isAuthority(each) && isMeantFor(servername, each));
}

/** Applications differ in which one they go by. */
function authoritiesOf(request: IncomingMessage | Http2ServerRequest): string[] {
  const { rawHeaders, method, url = '' } = request;
  const hosts = rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1].toLowerCase() === 'host');
  const [, target] = /^[a-z][a-z\d+.-]*:\/\/([^/?#]*)/i.exec(url) ?? [];
  const pseudo = request instanceof IncomingMessage ? undefined : request.headers[':authority'];
  // Of CONNECT the target is an authority and nothing else (RFC 9112 §3.2.3).
  const tunnelled = method === 'CONNECT' && request instanceof IncomingMessage ? url : undefined;
  return [...hosts, target, tunnelled, pseudo].filter((each) => each !== undefined);
}
