import { type DynamicModule, Module } from '@nestjs/common';
import { LogOutput, provideLogOutput } from '@nest-hsm/hsm';
import { Registry } from 'prom-client';
import { operated } from '../app.module.js';
import type { Config } from '../config.js';
import { loggerModule } from '../monitoring/logger.js';
import { MonitoringController } from '../monitoring/monitoring.controller.js';
import { operationsToken } from '../operations.js';
import type { ActivatedSockets } from '../serving/activation.js';
import { WorkerPool } from './worker-pool.js';

/** The composition root of the process that operates several workers. */
@Module({ controllers: [MonitoringController] })
export class WorkersModule {
  static of(process: { config: Config; activated: ActivatedSockets; read: () => Config }): DynamicModule {
    const { config, activated, read } = process;
    const [output, registry] = [new LogOutput(), new Registry()];
    return {
      module: WorkersModule,
      imports: [loggerModule(config.logLevel, output)],
      providers: [
        { provide: WorkerPool, useFactory: () => new WorkerPool(config, activated, read, registry) },
        { provide: operationsToken, useExisting: WorkerPool },
        provideLogOutput(output, registry),
        ...operated(config.adminSocket),
      ],
    };
  }
}
