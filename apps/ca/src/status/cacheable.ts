import type { FastifyReply, FastifyRequest } from 'fastify';

/** Octets that any cache may keep for a while. */
export interface Cacheable {
  readonly octets: Buffer;
  readonly type: string;
  /** Strong, quotes included. */
  readonly etag: string;
  readonly lastModified: Date;
  readonly expires: Date;
  readonly maxAgeSeconds: number;
}

/** Answers 200, or 304 to whoever has them already (RFC 9110 §13.1, RFC 5019 §6). */
export function sendCacheable(request: FastifyRequest, reply: FastifyReply, what: Cacheable): void {
  const { etag, lastModified, expires, maxAgeSeconds } = what;
  void reply
    .header('etag', etag)
    .header('last-modified', lastModified.toUTCString())
    .header('expires', expires.toUTCString())
    .header('cache-control', `max-age=${maxAgeSeconds}, public, no-transform, must-revalidate`);
  if (isFresh(request.headers, what)) void reply.status(304).send();
  else void reply.type(what.type).send(what.octets);
}

/** If-None-Match goes before If-Modified-Since (RFC 9110 §13.2.2). */
function isFresh(headers: FastifyRequest['headers'], { etag, lastModified }: Cacheable): boolean {
  const { 'if-none-match': noneMatch, 'if-modified-since': modifiedSince } = headers;
  if (noneMatch !== undefined) {
    const tags = noneMatch.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
    return tags.includes(etag) || tags.includes('*');
  }
  if (modifiedSince === undefined) return false;
  return Date.parse(modifiedSince) >= Math.floor(lastModified.getTime() / 1000) * 1000;
}
