import { type DynamicModule, Module, ValidationPipe } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { TerminusModule } from '@nestjs/terminus';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DataEncryptionModule } from '@nest-hsm/data-encryption';
import {
  type Hsm,
  HsmHealthIndicator,
  hsmHealthToken,
  HsmModule,
  hsmToken,
  LogOutput,
  provideHsmReload,
  provideLogOutput,
  untilServing,
} from '@nest-hsm/hsm';
import { LoggerModule } from 'nestjs-pino';
import { register } from 'prom-client';
import type { Config } from './config.js';
import { databaseId, databaseOptions } from './database/database.js';
import { loggerOptions } from './monitoring/logger.js';
import { MonitoringController } from './monitoring/monitoring.controller.js';
import { ProblemFilter } from './problem/problem.filter.js';
import { RecordEntity } from './record/record.entity.js';
import { RecordsController } from './record/records.controller.js';
import { RecordsService } from './record/records.service.js';

/** The composition root. */
@Module({
  controllers: [RecordsController, MonitoringController],
  providers: [
    RecordsService,
    { provide: APP_FILTER, useClass: ProblemFilter },
    {
      provide: APP_PIPE,
      // The messages name properties and rules; the values, which are personal data, stay out of them.
      useFactory: () =>
        new ValidationPipe({
          whitelist: true,
          forbidNonWhitelisted: true,
          validationError: { target: false, value: false },
        }),
    },
  ],
})
export class AppModule {
  /** @param reread  reads the configuration again, for a reload */
  static of(config: Config, reread: () => Config): DynamicModule {
    const { kekLabel, createKek, database } = config;
    const hsm = HsmModule.forRoot(config.hsm);
    const output = new LogOutput();
    const encryption = DataEncryptionModule.forRootAsync({
      imports: [hsm],
      inject: [hsmToken(config.hsm.name)],
      useFactory: async (token: Hsm) => {
        await untilServing(token);
        return { hsm: token, kekLabel, createKek, databaseId };
      },
    });
    return {
      module: AppModule,
      imports: [
        // The module's own default matches no route of this Nest version.
        LoggerModule.forRoot({ forRoutes: ['{*splat}'], pinoHttp: loggerOptions(config.logLevel, output) }),
        TerminusModule,
        hsm,
        encryption,
        DataEncryptionModule.forFeature(encryption, { useFactory: () => databaseOptions(database) }),
        TypeOrmModule.forFeature([RecordEntity]),
      ],
      providers: [
        provideHsmReload(config, reread),
        provideLogOutput(output, register),
        { provide: HsmHealthIndicator, useExisting: hsmHealthToken(config.hsm.name) },
      ],
    };
  }
}
