import type { FastifyInstance, FastifyRequest } from 'fastify';

/** What is used of pino. */
interface LineLogger {
  info(line: object, message: string): void;
  error(line: object, message: string): void;
}

/** What monitoring asks every few seconds. */
const unlogged: readonly string[] = ['/health', '/metrics'];

/**
 * One line for every request, when it is answered: by its id, which problem documents have too. Credentials and bodies never
 * appear, since only what is named here does. A hook of Fastify's own: a middleware that makes a logger for each request took
 * a third of the time of an OCSP response from memory.
 */
export function logRequests(fastify: FastifyInstance, logger: LineLogger): void {
  fastify.addHook('onResponse', (request, reply, done) => {
    if (!unlogged.includes(request.url)) {
      const { statusCode } = reply;
      const line = { req: described(request), res: { statusCode }, responseTime: Math.round(reply.elapsedTime) };
      if (statusCode >= 500) logger.error(line, 'request failed');
      else logger.info(line, 'request completed');
    }
    done();
  });
}

function described({ id, method, url, headers, ip }: FastifyRequest): object {
  const { authorization, 'user-agent': userAgent } = headers;
  return {
    id,
    method,
    url,
    remoteAddress: ip,
    userAgent,
    authorization: authorization === undefined ? undefined : '[redacted]',
  };
}
