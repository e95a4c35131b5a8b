import { type DynamicModule, type ExecutionContext, Module, type OnModuleInit } from '@nestjs/common';
import { APP_FILTER, APP_GUARD } from '@nestjs/core';
import { TerminusModule } from '@nestjs/terminus';
import { ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import { CaModule, type CaObserver, CertificateAuthority, Orders, TypeOrmOrderStore } from '@nest-hsm/ca';
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
import { DataSource } from 'typeorm';
import { AccessGuard } from './access/access.guard.js';
import { AccessModule } from './access/access.module.js';
import { ClientCertificates } from './access/client-certificates.js';
import { AuthorityController } from './authority/authority.controller.js';
import { CertificatesController } from './certificates/certificates.controller.js';
import { Submissions } from './certificates/submissions.js';
import { caSection, type Config } from './config.js';
import { DatabaseModule } from './database.module.js';
import { replicaJobs } from './jobs/replica-jobs.js';
import { CertificateLimit } from './limits/certificate-limit.js';
import { OcspLimit } from './limits/ocsp-limit.js';
import { sourceOf } from './limits/source.js';
import { SourceWindows } from './limits/source-windows.js';
import { OrdersController } from './orders/orders.controller.js';
import { makeLogger } from './monitoring/logger.js';
import { MonitoringController } from './monitoring/monitoring.controller.js';
import { MonitoringModule } from './monitoring/monitoring.module.js';
import { JobObserver } from './monitoring/job-observer.js';
import { RevocationController } from './revocation/revocation.controller.js';
import { CrlController } from './status/crl.controller.js';
import { OcspRoutes } from './status/ocsp.routes.js';
import { ProblemFilter } from './problem/problem.filter.js';
import { ProblemReports } from './problem/problem-reports.js';

/** The composition root. */
@Module({
  controllers: [
    CertificatesController,
    OrdersController,
    AuthorityController,
    CrlController,
    RevocationController,
    MonitoringController,
  ],
  providers: [
    Submissions,
    ProblemReports,
    OcspRoutes,
    { provide: APP_GUARD, useClass: ThrottlerGuard },
    { provide: APP_GUARD, useClass: AccessGuard },
    { provide: APP_FILTER, useClass: ProblemFilter },
  ],
})
export class AppModule implements OnModuleInit {
  constructor(
    private readonly clientCertificates: ClientCertificates,
    private readonly certificateAuthority: CertificateAuthority,
  ) {}

  onModuleInit(): void {
    const chains = this.certificateAuthority.generations.flatMap(({ issuer }) => issuer.chain);
    this.clientCertificates.assertNotOwn(chains.map(({ publicKey }) => publicKey));
  }

  /**
   * @param reread  reads the configuration again, for a reload
   * @param observer  told of every step besides ours; tests only
   */
  static of(config: Config, reread: () => Config, observer?: CaObserver): DynamicModule {
    const { requests, seconds } = config.rateLimit;
    const database = DatabaseModule.of(config.database);
    const hsm = HsmModule.forRoot(config.hsm);
    const output = new LogOutput();
    return {
      module: AppModule,
      imports: [
        // On no route: requests are logged by `logRequests`, whose lines are as they are to be.
        LoggerModule.forRoot({
          forRoutes: [],
          pinoHttp: { logger: makeLogger(config.logLevel, output), autoLogging: false, wrapSerializers: false },
        }),
        TerminusModule,
        MonitoringModule,
        ThrottlerModule.forRoot({
          throttlers: [
            { limit: requests, ttl: seconds * 1000, getTracker: sourceOfRequest, generateKey: routeAndSource },
          ],
          storage: new SourceWindows(),
        }),
        database,
        hsm,
        AccessModule.of(config, database),
        CaModule.forRootAsync({
          imports: [database, hsm, MonitoringModule],
          inject: [hsmToken(config.hsm.name), DataSource, JobObserver],
          useFactory: async (token: Hsm, dataSource: DataSource, jobs: JobObserver) => {
            await untilServing(token);
            return {
              hsm: token,
              dataSource,
              config: caSection(config),
              observer: {
                ...observer,
                jobFailed: (job, error) => jobs.jobFailed(job, error),
                expiring: (notice) => jobs.expiring(notice),
              },
              sharedJobs: replicaJobs(config.database),
            };
          },
        }),
      ],
      providers: [
        { provide: CertificateLimit, useFactory: () => new CertificateLimit(config.certificateLimit) },
        { provide: OcspLimit, useFactory: () => new OcspLimit(config.ocspLimit) },
        {
          provide: Orders,
          inject: [CertificateAuthority, DataSource],
          useFactory: (certificateAuthority: CertificateAuthority, dataSource: DataSource) =>
            new Orders({
              authority: certificateAuthority,
              orders: new TypeOrmOrderStore(dataSource),
              hours: config.orders.approvalHours,
            }),
        },
        provideHsmReload(config, reread),
        provideLogOutput(output, register),
        { provide: HsmHealthIndicator, useExisting: hsmHealthToken(config.hsm.name) },
      ],
    };
  }
}

/** One host is one source, however many addresses it has. */
function sourceOfRequest({ ip }: Record<string, unknown>): string {
  return sourceOf(String(ip));
}

/** What is counted together. Nobody sees it, so it need be no hash as the throttler's own. */
function routeAndSource(context: ExecutionContext, source: string): string {
  return `${context.getClass().name}.${context.getHandler().name} ${source}`;
}
