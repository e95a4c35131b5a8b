import type { RequestListener, Server } from 'node:http';
import { createTlsOffloadServer, type TlsOffloadServerOptions } from '../http-server.js';
import type { TlsTerminator } from '../terminator.js';

/** What is used of an adapter of Nest, e.g. `ExpressAdapter`. */
interface HttpAdapter {
  initHttpServer(options: unknown): void;
  setHttpServer(server: Server): void;
  getInstance(): unknown;
}

/**
 * Makes an HTTP adapter that takes no server factory serve over TLS: `NestFactory.create(Root, overTls(new ExpressAdapter(), …))`.
 * Fastify's takes one: `new FastifyAdapter({ serverFactory: (handler) => createTlsOffloadServer(terminator, handler) })`.
 *
 * Express knows HTTP/1.1 only, so its terminator offers `http/1.1` alone. Nest's `forceCloseConnections` has no effect.
 * @param terminator  or how to get it by the first connection, e.g. `() => app.get(TlsTerminator)`
 */
export function overTls<Adapter extends HttpAdapter>(
  adapter: Adapter,
  terminator: TlsTerminator | (() => TlsTerminator),
  options?: TlsOffloadServerOptions,
): Adapter {
  const initHttpServer = adapter.initHttpServer.bind(adapter);
  adapter.initHttpServer = (nestOptions) => {
    initHttpServer(nestOptions);
    adapter.setHttpServer(createTlsOffloadServer(terminator, adapter.getInstance() as RequestListener, options));
  };
  return adapter;
}
