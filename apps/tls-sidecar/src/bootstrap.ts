import type { DynamicModule, INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { shutdownSignals } from '@nest-hsm/hsm';
import { Logger } from 'nestjs-pino';
import { AppModule } from './app.module.js';
import { type Config, readConfig } from './config.js';
import { AdminSocket } from './control/admin-socket.js';
import { SidecarError } from './faults.js';
import { takeActivatedSockets } from './serving/activation.js';
import { Sidecar } from './serving/sidecar.js';
import { WorkerLink } from './workers/worker-link.js';
import { WorkerPool } from './workers/worker-pool.js';
import { WorkersModule } from './workers/workers.module.js';

// Kept back until the logger is there: a start that fails says one sentence, not Nest's log of it.
const options = { bufferLogs: true, autoFlushLogs: false, abortOnError: false };

/**
 * Starts the sidecar of a configuration file: /health answers at once, and says `up` when clients are served. Returns then.
 * @throws {SidecarError | TlsOffloadError | HsmError} what keeps it from starting; an issuer that is away is waited for
 */
export async function start(configFile: string): Promise<void> {
  const config = readConfig(configFile);
  const read = (): Config => readConfig(configFile);
  const activated = takeActivatedSockets(process.env);
  if (config.workers === 1) await serve(AppModule.alone({ config, activated, read }), config, Sidecar);
  else await serve(WorkersModule.of({ config, activated, read }), config, WorkerPool);
}

/** Starts one of several workers: its configuration comes from the process that made it. */
export async function startWorker(): Promise<void> {
  // Reloads come through the supervisor.
  process.on('SIGHUP', () => undefined);
  const link = new WorkerLink();
  const { config, activated } = await link.start;
  const read = (): never => {
    throw new Error('reload: want it of the supervisor, got it of a worker');
  };
  const app = await NestFactory.createApplicationContext(AppModule.worker({ config, activated, read }), options);
  prepare(app);
  link.answer(app);
  await orClose(app, async () => app.get(Sidecar).start());
  link.serving();
}

interface Startable {
  start(): Promise<void>;
}

async function serve(
  root: DynamicModule,
  config: Config,
  token: abstract new (...args: never[]) => Startable,
): Promise<void> {
  const app = await NestFactory.create<NestFastifyApplication>(root, new FastifyAdapter(), options);
  prepare(app);
  await orClose(app, async () => {
    await listen(app, config.admin);
    if (config.adminSocket !== undefined) await app.get(AdminSocket).listen();
    await app.get<Startable>(token).start();
  });
}

function prepare(app: INestApplicationContext): void {
  app.useLogger(app.get(Logger));
  app.flushLogs();
  app.enableShutdownHooks(shutdownSignals);
}

async function orClose(app: INestApplicationContext, work: () => Promise<void>): Promise<void> {
  try {
    await work();
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
