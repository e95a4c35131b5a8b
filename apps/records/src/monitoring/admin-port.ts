import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { isIPv6 } from 'node:net';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Address } from '../config.js';
import { ServiceError } from '../problem/service-error.js';

/** Routes of operators, as Fastify has them. */
const operatorsRoute = /^\/(health|metrics|docs(-json|-yaml)?)(\/|$)/;

/** An address of its own for what operators ask: where clients are nothing of it is found, and nothing of theirs here. */
export class AdminPort {
  readonly #server: Server;

  /** @param app  that does not listen yet */
  constructor(
    app: NestFastifyApplication,
    private readonly address: Address,
  ) {
    const fastify = app.getHttpAdapter().getInstance();
    this.#server = createServer({ requestTimeout: 10_000 }, (request, response) => fastify.routing(request, response));
    fastify.addHook('onRequest', (request, reply, done) => {
      const isHere = (request.socket as { server?: unknown }).server === this.#server;
      if (operatorsRoute.test(request.routeOptions.url ?? '') === isHere) done();
      else reply.callNotFound();
    });
    fastify.addHook('onClose', (_, done) => {
      this.#server.close(() => done());
      this.#server.closeAllConnections();
    });
  }

  /** Once the application listens, whose routes it has. @returns its URL @throws {ServiceError} ERR_RECORDS_LISTEN */
  async listen(): Promise<string> {
    const { host, port } = this.address;
    try {
      this.#server.listen(port, host);
      await once(this.#server, 'listening');
    } catch (cause) {
      const message = `admin: want ${host}:${port} free, got ${(cause as Error).message}`;
      throw new ServiceError('ERR_RECORDS_LISTEN', message, { cause });
    }
    const bound = this.#server.address() as { port: number };
    return `http://${isIPv6(host) ? `[${host}]` : host}:${bound.port}`;
  }
}
