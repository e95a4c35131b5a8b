import { type DynamicModule, Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { type Hsm, HsmHealthIndicator, hsmHealthToken, HsmModule, hsmToken, provideHsmReload } from '@nest-hsm/hsm';
import { LoggerModule } from 'nestjs-pino';
import { collectDefaultMetrics, register } from 'prom-client';
import type { Config } from './config.js';
import { Forwarding } from './forwarding/forwarding.js';
import { loggerOptions } from './monitoring/logger.js';
import { MonitoringController } from './monitoring/monitoring.controller.js';
import { SidecarMetrics } from './monitoring/sidecar-metrics.js';

/** The composition root. */
@Module({ controllers: [MonitoringController] })
export class AppModule {
  /** @param reread  reads the configuration again, for a reload */
  static of(config: Config, reread: () => Config): DynamicModule {
    return {
      module: AppModule,
      imports: [
        // The module's own default matches no route of this Nest version.
        LoggerModule.forRoot({ forRoutes: ['{*splat}'], pinoHttp: loggerOptions(config.logLevel) }),
        TerminusModule,
        HsmModule.forRoot(config.hsm),
      ],
      providers: [
        provideHsmReload(config, reread),
        { provide: HsmHealthIndicator, useExisting: hsmHealthToken(config.hsm.name) },
        {
          provide: Forwarding,
          useFactory: (hsm: Hsm) => new Forwarding(config, hsm),
          inject: [hsmToken(config.hsm.name)],
        },
        {
          provide: SidecarMetrics,
          useFactory: (forwarding: Forwarding) => {
            collectDefaultMetrics({ register });
            return new SidecarMetrics(register, forwarding);
          },
          inject: [Forwarding],
        },
      ],
    };
  }
}
