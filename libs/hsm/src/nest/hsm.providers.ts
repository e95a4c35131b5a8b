import { type FactoryProvider, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { register, type Registry } from 'prom-client';
import type { HsmConfig } from '../config.js';
import { Hsm } from '../hsm.js';
import { HsmHealthIndicator } from './hsm.health.js';
import { HsmMetrics } from './hsm.metrics.js';
import type { HsmModuleOptions } from './hsm.module-options.js';
import { hsmHealthToken, hsmToken } from './hsm.tokens.js';

export function hsmProviders(name: string, optionsToken: symbol): FactoryProvider[] {
  return [
    {
      provide: hsmToken(name),
      useFactory: ({ registry, ...config }: HsmModuleOptions) => openHsm({ ...config, name }, registry),
      inject: [optionsToken],
    },
    {
      provide: hsmHealthToken(name),
      useFactory: (hsm: Hsm) => new HsmHealthIndicator(hsm),
      inject: [hsmToken(name)],
    },
    {
      provide: Symbol(`@nest-hsm/hsm:${name}:shutdown`),
      useFactory: (hsm: Hsm) => new HsmShutdown(hsm),
      inject: [hsmToken(name)],
    },
  ];
}

async function openHsm(config: HsmConfig, registry: Registry = register): Promise<Hsm> {
  const metrics = new HsmMetrics(config.name, registry);
  const logger = new Logger(`Hsm ${config.name}`);
  const hsm = await Hsm.open(config, {
    callEnded: (call) => metrics.callEnded(call),
    attemptEnded: (attempt) => metrics.attemptEnded(attempt),
    agentStarted: ({ label, serial }, member) =>
      logger.log(`${member}: logged in to token "${label}", serial ${serial}`),
    agentLost: ({ code, message }, member) => {
      metrics.agentLost(member);
      logger.warn(`${member}: agent lost, starting another: ${code} ${message}`);
    },
    agentRefused: ({ code, message }, member) => logger.error(`${member}: no agent: ${code} ${message}`),
    callHedged: (member) => metrics.callHedged(member),
    callMoved: (member, code) => metrics.callMoved(member, code),
  });
  metrics.watch(hsm);
  return hsm;
}

/** Runs after the HTTP server has closed, so that no request is left that would need the token. */
class HsmShutdown implements OnApplicationShutdown {
  constructor(private readonly hsm: Hsm) {}

  onApplicationShutdown(): Promise<void> {
    return this.hsm.close();
  }
}
