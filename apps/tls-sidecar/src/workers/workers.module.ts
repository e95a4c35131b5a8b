import { type DynamicModule, Module } from '@nestjs/common';
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
    return {
      module: WorkersModule,
      imports: [loggerModule(config.logLevel)],
      providers: [
        { provide: WorkerPool, useFactory: () => new WorkerPool(config, activated, read) },
        { provide: operationsToken, useExisting: WorkerPool },
        ...operated(config.adminSocket),
      ],
    };
  }
}
