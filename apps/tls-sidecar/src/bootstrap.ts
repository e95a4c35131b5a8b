import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { shutdownSignals } from '@nest-hsm/hsm';
import { Logger } from 'nestjs-pino';
import { AppModule } from './app.module.js';
import { readConfig } from './config.js';
import { SidecarError } from './faults.js';
import { Forwarding } from './forwarding/forwarding.js';

/**
 * Starts the sidecar of a configuration file: /health answers at once, and says `up` when clients are served. Returns then.
 * @throws {SidecarError | TlsOffloadError | HsmError} what keeps it from starting; an issuer that is away is waited for
 */
export async function start(configFile: string): Promise<void> {
  const config = readConfig(configFile);
  const root = AppModule.of(config, () => readConfig(configFile));
  const app = await NestFactory.create<NestFastifyApplication>(root, new FastifyAdapter(), {
    // Kept back until the logger is there: a start that fails says one sentence, not Nest's log of it.
    bufferLogs: true,
    autoFlushLogs: false,
    abortOnError: false,
  });
  app.useLogger(app.get(Logger));
  app.flushLogs();
  app.enableShutdownHooks(shutdownSignals);
  try {
    await listen(app, config.admin);
    await app.get(Forwarding).start();
  } catch (error) {
    await app.close();
    throw error;
  }
}

async function listen(app: NestFastifyApplication, { host, port }: { host: string; port: number }): Promise<void> {
  try {
    await app.listen(port, host);
  } catch (cause) {
    const message = `admin: want ${host}:${port} free, got ${(cause as Error).message}`;
    throw new SidecarError('ERR_SIDECAR_LISTEN', message, { cause });
  }
  app.get(Logger).log(`admin on ${await app.getUrl()}`);
}
