import { Injectable, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { CertificateAuthority, maximumOcspRequestBytes, type OcspAnswer, type OcspResponder } from '@nest-hsm/ca';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { OcspLimit } from '../limits/ocsp-limit.js';
import { CaMetrics } from '../monitoring/ca-metrics.js';
import { sendCacheable } from './cacheable.js';

/** Where certificates say the responder is. */
const path = '/v1/ocsp';
const requestType = 'application/ocsp-request';
const responseType = 'application/ocsp-response';

/**
 * OCSP over HTTP (RFC 6960 appendix A, RFC 5019 §5, §6): GET with the request in base64 behind the path, POST with it as the body.
 * Plain Fastify routes, since ten thousand answers a second leave no time for guards that let everybody pass.
 */
@Injectable()
export class OcspRoutes implements OnModuleInit {
  constructor(
    private readonly host: HttpAdapterHost,
    private readonly authority: CertificateAuthority,
    private readonly metrics: CaMetrics,
    private readonly limit: OcspLimit,
  ) {}

  onModuleInit(): void {
    const responder = this.authority.status.ocsp;
    if (responder === undefined) return;
    const fastify = this.host.httpAdapter.getInstance<FastifyInstance>();
    fastify.addContentTypeParser(requestType, { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    fastify.get(`${path}/*`, (request, reply) => this.#get(responder, request, reply));
    fastify.post(path, (request, reply) => this.#post(responder, request, reply));
    // With the slash some clients add.
    fastify.post(`${path}/`, (request, reply) => this.#post(responder, request, reply));
  }

  async #get(responder: OcspResponder, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const answer = this.#counted(
      await responder.respond(requestOfUrl(request.raw.url ?? ''), this.limit.of(request.ip)),
    );
    const { der, cacheable } = answer;
    if (cacheable === undefined) return sendUncacheable(reply, answer);
    const { etag, thisUpdate, nextUpdate, refreshAt } = cacheable;
    const now = Date.now();
    // Until a fresh one is due; when that one is late, until this one lapses.
    const until = now < refreshAt.getTime() ? refreshAt : nextUpdate;
    const maxAgeSeconds = Math.max(0, Math.floor((until.getTime() - now) / 1000));
    sendCacheable(request, reply, { octets: der, type: responseType, etag, lastModified: thisUpdate, expires: nextUpdate, maxAgeSeconds }); // prettier-ignore
    return reply;
  }

  async #post(responder: OcspResponder, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    // A body of another type was refused by Fastify, or parsed as what it says it is.
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    return sendUncacheable(reply, this.#counted(await responder.respond(body, this.limit.of(request.ip))));
  }

  #counted(answer: OcspAnswer): OcspAnswer {
    this.metrics.ocspAnswered(answer.outcome);
    return answer;
  }
}

function sendUncacheable(reply: FastifyReply, { der, retryAfterSeconds }: OcspAnswer): FastifyReply {
  if (retryAfterSeconds !== undefined) reply.header('retry-after', retryAfterSeconds);
  return reply.header('cache-control', 'no-store').type(responseType).send(der);
}

/** What stands behind the path, decoded from the URL and from base64; nothing when it is neither, which is then no request. */
function requestOfUrl(url: string): Buffer {
  const [beforeQuery] = url.split('?', 1);
  const encoded = beforeQuery.slice(path.length + 1);
  if (encoded.length > maximumOcspRequestBytes * 4) return Buffer.alloc(0);
  try {
    const base64 = decodeURIComponent(encoded);
    return /^[A-Za-z0-9+/]*={0,2}$/.test(base64) ? Buffer.from(base64, 'base64') : Buffer.alloc(0);
  } catch {
    return Buffer.alloc(0);
  }
}
