import { type DynamicModule, Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { type Hsm, HsmHealthIndicator, hsmHealthToken, HsmModule, hsmToken } from '@nest-hsm/hsm';
import { LoggerModule } from 'nestjs-pino';
import type { Config } from './config.js';
import { TlsGateway } from './gateway/tls-gateway.js';
import { loggerOptions } from './monitoring/logger.js';
import { MonitoringController } from './monitoring/monitoring.controller.js';

/** The composition root. */
@Module({ controllers: [MonitoringController] })
export class AppModule {
  static of(config: Config): DynamicModule {
    return {
      module: AppModule,
      imports: [
        // The module's own default matches no route of this Nest version.
        LoggerModule.forRoot({ forRoutes: ['{*splat}'], pinoHttp: loggerOptions(config.logLevel) }),
        TerminusModule,
        HsmModule.forRoot(config.hsm),
      ],
      providers: [
        { provide: HsmHealthIndicator, useExisting: hsmHealthToken(config.hsm.name) },
        {
          provide: TlsGateway,
          inject: [hsmToken(config.hsm.name)],
          useFactory: (hsm: Hsm) => new TlsGateway(hsm, config),
        },
      ],
    };
  }
}
