import { type DynamicModule, type FactoryProvider, Module } from '@nestjs/common';
import { HealthCheckService, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import {
  type Hsm,
  type HsmHealthIndicator,
  hsmHealthToken,
  HsmModule,
  hsmToken,
  LogOutput,
  provideLogOutput,
} from '@nest-hsm/hsm';
import { PinoLogger } from 'nestjs-pino';
import { collectDefaultMetrics, register } from 'prom-client';
import type { Config } from './config.js';
import { AdminSocket } from './control/admin-socket.js';
import { ReloadOnHangup } from './control/hangup.js';
import { AccessLog } from './monitoring/access-log.js';
import { loggerModule } from './monitoring/logger.js';
import { MonitoringController } from './monitoring/monitoring.controller.js';
import { registerStateMetrics } from './monitoring/state-metrics.js';
import { TrafficMetrics } from './monitoring/traffic-metrics.js';
import { type Operations, operationsToken } from './operations.js';
import type { ActivatedSockets } from './serving/activation.js';
import { Sidecar } from './serving/sidecar.js';
import { SidecarOperations } from './serving/sidecar-operations.js';

interface Process {
  readonly config: Config;
  readonly activated: ActivatedSockets;
  /** Reads the configuration again, for a reload. */
  readonly read: () => Config;
}

/** The composition root of a process that serves. */
@Module({})
export class AppModule {
  /** One process that does it all. */
  static alone(process: Process): DynamicModule {
    const { adminSocket } = process.config;
    const served = this.worker(process);
    return {
      ...served,
      controllers: [MonitoringController],
      providers: [...(served.providers ?? []), ...operated(adminSocket)],
    };
  }

  /** One of several, operated by another process. */
  static worker(process: Process): DynamicModule {
    const { hsm, logLevel } = process.config;
    const output = new LogOutput();
    return {
      module: AppModule,
      imports: [loggerModule(logLevel, output), TerminusModule, HsmModule.forRoot(hsm)],
      providers: [...serving(process), provideLogOutput(output, register)],
    };
  }
}

/** SIGHUP and the admin socket, of whatever is operated. */
export function operated(adminSocket: string | undefined): FactoryProvider[] {
  const hangup: FactoryProvider = {
    provide: ReloadOnHangup,
    useFactory: (operations: Operations) => new ReloadOnHangup(operations),
    inject: [operationsToken],
  };
  if (adminSocket === undefined) return [hangup];
  const socket: FactoryProvider = {
    provide: AdminSocket,
    useFactory: (operations: Operations) => new AdminSocket(adminSocket, operations),
    inject: [operationsToken],
  };
  return [hangup, socket];
}

function serving({ config, activated, read }: Process): FactoryProvider[] {
  const { name } = config.hsm;
  return [
    {
      provide: AccessLog,
      useFactory: (lines: PinoLogger) => new AccessLog(lines, config.accessLog?.sample ?? 0),
      inject: [PinoLogger],
    },
    {
      provide: Sidecar,
      useFactory: (hsm: Hsm, accessLog: AccessLog) => {
        collectDefaultMetrics({ register });
        const sidecar = new Sidecar(config, hsm, { metrics: new TrafficMetrics(register), accessLog }, activated);
        registerStateMetrics(register, sidecar);
        return sidecar;
      },
      inject: [hsmToken(name), AccessLog],
    },
    {
      provide: operationsToken,
      useFactory: (
        sidecar: Sidecar,
        hsm: Hsm,
        hsmHealth: HsmHealthIndicator,
        checks: HealthCheckService,
        indicators: HealthIndicatorService,
        accessLog: AccessLog,
      ) => new SidecarOperations(sidecar, hsm, hsmHealth, checks, indicators, accessLog, register, read),
      inject: [
        ...[Sidecar, hsmToken(name), hsmHealthToken(name)],
        ...[HealthCheckService, HealthIndicatorService, AccessLog],
      ],
    },
  ];
}
