import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Logger } from 'nestjs-pino';
import { AppModule } from './app.module.js';
import { readConfig } from './config.js';
import { listenFault, TlsGateway } from './gateway/tls-gateway.js';
import { registerTlsMetrics } from './monitoring/tls-metrics.js';

/**
 * Starts the sidecar of a configuration file. Its health page answers at once; it serves TLS when it has a certificate.
 * @throws {SidecarError | TlsOffloadError | HsmError} what keeps it from starting
 */
export async function start(configFile: string): Promise<NestFastifyApplication> {
  const config = readConfig(configFile);
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.of(config), new FastifyAdapter(), {
    bufferLogs: true,
    autoFlushLogs: false,
    abortOnError: false,
  });
  const logger = app.get(Logger);
  app.useLogger(logger);
  app.enableShutdownHooks();
  const gateway = app.get(TlsGateway);
  registerTlsMetrics(gateway);
  try {
    await listen(app, config.admin);
    logger.log(`health and metrics on ${await app.getUrl()}`);
    await gateway.open();
    return app;
  } catch (error) {
    await app.close();
    throw error;
  }
}

async function listen(app: NestFastifyApplication, { host, port }: { host: string; port: number }): Promise<void> {
  try {
    await app.listen(port, host);
  } catch (cause) {
    throw listenFault(host, port, cause);
  }
}
