import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ServerOptions } from 'node:https';
import type { CaObserver } from '@nest-hsm/ca';
import { answerUnready, shutdownSignals } from '@nest-hsm/hsm';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Logger, PinoLogger } from 'nestjs-pino';
import { Terminators } from './access/terminators.js';
import { serveApiDocument } from './api-document.js';
import { AppModule } from './app.module.js';
import { acceptBodies, maximumBodyBytes } from './certificates/body.js';
import { type Config, readConfig } from './config.js';
import { logRequests } from './monitoring/access-log.js';
import { ApiError } from './problem/api-error.js';
import { refuseConnection, refuseUrl } from './problem/unparsed-requests.js';

/** A request that takes longer to arrive is somebody who holds a connection. */
const requestMilliseconds = 30_000;
/** And one that takes nothing of its answer for so long holds it in our memory. */
const stalledMilliseconds = 600_000;

/** Replaced by tests only. */
export interface Seams {
  readonly observer?: CaObserver;
  readonly stalledMilliseconds?: number;
}

/**
 * Starts the service of a configuration file and returns once it listens.
 * @throws {ApiError | CaError | HsmError} what keeps it from starting
 */
export async function start(configFile: string, seams: Seams = {}): Promise<NestFastifyApplication> {
  const config = readConfig(configFile);
  const tls = tlsOf(config);
  const adapter = new FastifyAdapter({
    ...tls,
    bodyLimit: maximumBodyBytes,
    requestTimeout: requestMilliseconds,
    connectionTimeout: seams.stalledMilliseconds ?? stalledMilliseconds,
    ...proxiesOf(config),
    genReqId: () => randomUUID(),
    // What still arrives while the service ends is answered as ever, and each connection ends with its answer.
    return503OnClosing: false,
    frameworkErrors: refuseUrl,
    clientErrorHandler: refuseConnection,
  });
  const root = AppModule.of(config, () => readConfig(configFile), seams.observer);
  const app = await answerUnready({ ...config.listen, ...tls }, () =>
    NestFactory.create<NestFastifyApplication>(root, adapter, {
      bodyParser: false,
      bufferLogs: true,
      autoFlushLogs: false,
      abortOnError: false,
    }),
  );
  const logger = app.get(Logger);
  app.useLogger(logger);
  app.flushLogs();
  logRequests(app.getHttpAdapter().getInstance(), (await app.resolve(PinoLogger)).logger);
  acceptBodies(app);
  app.enableShutdownHooks(shutdownSignals);
  serveApiDocument(app, config.ocsp !== undefined);
  const { host, port } = config.listen;
  try {
    await app.listen(port, host);
  } catch (error) {
    await app.close();
    throw new ApiError('ERR_API_LISTEN', `listen: want ${host}:${port} free, got ${(error as Error).message}`, {
      cause: error,
    });
  }
  logger.log(`listening on ${await app.getUrl()}`);
  return app;
}

/** What a terminator says of the address of its client is believed as its Client-Cert is: limits are each client's own. */
function proxiesOf({ access: { terminators: addresses } }: Config): { trustProxy?: (address: string) => boolean } {
  if (addresses.length === 0) return {};
  const terminators = new Terminators(addresses);
  return { trustProxy: (address) => terminators.include(address) };
}

/** Whether a client certificate is anybody's is for `access` to say: a chain to some CA says nothing. */
function tlsOf({ listen: { tls } }: Config): { https?: ServerOptions } {
  if (tls === undefined) return {};
  try {
    const [cert, key] = [readFileSync(tls.certificateFile), readFileSync(tls.keyFile)];
    return { https: { cert, key, minVersion: 'TLSv1.2', requestCert: true, rejectUnauthorized: false } };
  } catch (error) {
    throw new ApiError('ERR_API_CONFIG', `listen.tls: want files to read, got ${(error as Error).message}`, {
      cause: error,
    });
  }
}
