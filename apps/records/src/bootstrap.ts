import { randomUUID } from 'node:crypto';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { answerUnready, shutdownSignals } from '@nest-hsm/hsm';
import { Logger } from 'nestjs-pino';
import { collectDefaultMetrics } from 'prom-client';
import { AppModule } from './app.module.js';
import { type Address, type Config, readConfig } from './config.js';
import { explainDatabase } from './database/database.js';
import { AdminPort } from './monitoring/admin-port.js';
import { ServiceError } from './problem/service-error.js';

const bodyLimit = 64 * 1024;
/** Milliseconds in which a request must have arrived whole; Fastify would wait for ever. */
const requestTimeout = 60_000;

/**
 * Starts the service of a configuration file and returns once it listens.
 * @throws {ServiceError | DataEncryptionError | HsmError} what keeps it from starting
 */
export async function start(configFile: string): Promise<NestFastifyApplication> {
  const config = readConfig(configFile);
  const begin = (): Promise<NestFastifyApplication> => create(config, () => readConfig(configFile));
  const { listen, admin } = config;
  const app = await answerUnready(listen, () => (admin === undefined ? begin() : answerUnready(admin, begin)));
  const logger = app.get(Logger);
  app.useLogger(logger);
  app.flushLogs();
  app.enableShutdownHooks(shutdownSignals);
  collectDefaultMetrics();
  const description = new DocumentBuilder().setTitle('Records').setVersion('1').build();
  SwaggerModule.setup('docs', app, SwaggerModule.createDocument(app, description));
  try {
    const adminPort = admin && new AdminPort(app, admin);
    await listenOn(app, listen);
    logger.log(`listening on ${await app.getUrl()}`);
    if (adminPort !== undefined) logger.log(`admin on ${await adminPort.listen()}`);
  } catch (error) {
    await app.close();
    throw error;
  }
  return app;
}

async function listenOn(app: NestFastifyApplication, { host, port }: Address): Promise<void> {
  try {
    await app.listen(port, host);
  } catch (cause) {
    const message = `listen: want ${host}:${port} free, got ${(cause as Error).message}`;
    throw new ServiceError('ERR_RECORDS_LISTEN', message, { cause });
  }
}

async function create(config: Config, reread: () => Config): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter({ bodyLimit, requestTimeout, genReqId: () => randomUUID() });
  try {
    return await NestFactory.create<NestFastifyApplication>(AppModule.of(config, reread), adapter, {
      bufferLogs: true,
      autoFlushLogs: false,
      abortOnError: false,
    });
  } catch (error) {
    throw explainDatabase(config.database, error);
  }
}
