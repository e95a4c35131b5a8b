import { Logger, ServiceUnavailableException } from '@nestjs/common';
import type { HealthCheckService, HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import type { Hsm, HsmHealthIndicator } from '@nest-hsm/hsm';
import type { Registry } from 'prom-client';
import type { Config } from '../config.js';
import type { AccessLog } from '../monitoring/access-log.js';
import { checkCrls, checkStaples, checkTickets, checkUpstreams } from '../monitoring/upkeep-health.js';
import type { HealthReport, Operations, Reloaded } from '../operations.js';
import type { Prepared, Sidecar } from './sidecar.js';

/** The operations of one process. */
export class SidecarOperations implements Operations {
  readonly #logger = new Logger('tls-sidecar');
  #reloading: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly sidecar: Sidecar,
    private readonly hsm: Hsm,
    private readonly hsmHealth: HsmHealthIndicator,
    private readonly checks: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly accessLog: AccessLog,
    readonly registry: Registry,
    private readonly read: () => Config,
  ) {}

  async health(): Promise<HealthReport> {
    try {
      const report = await this.checks.check([
        () => this.#checkServing(),
        () => this.#checkCertificates(),
        () => checkUpstreams(this.indicators, this.sidecar),
        () => checkCrls(this.indicators, this.sidecar, 'clientCrls'),
        () => checkCrls(this.indicators, this.sidecar, 'upstreamCrls'),
        () => checkStaples(this.indicators, this.sidecar),
        () => checkTickets(this.indicators, this.sidecar),
        () => this.hsmHealth.isHealthy(),
      ]);
      return { isUp: true, report };
    } catch (error) {
      if (!(error instanceof ServiceUnavailableException)) throw error;
      return { isUp: false, report: error.getResponse() as object };
    }
  }

  isReady(): Promise<boolean> {
    return Promise.resolve(this.sidecar.state === 'serving');
  }

  metrics(): Promise<string> {
    return this.registry.metrics();
  }

  status(): Promise<object> {
    const { state, certificates, statistics: listeners, sessionTickets } = this.sidecar;
    const members = this.hsm.members.map((member) => ({ name: member.name, state: member.state }));
    return Promise.resolve({ pid: process.pid, state, certificates, listeners, sessionTickets, members });
  }

  /** One reload after the other. */
  reload(): Promise<Reloaded> {
    const reloading = this.#reloading.then(async () => {
      const config = this.read();
      const prepared = await this.prepare(config);
      await prepared.commit();
      return prepared;
    });
    this.#reloading = reloading.catch(() => undefined);
    return reloading.then(({ changed, awaitingRestart }) => ({ changed, awaitingRestart }));
  }

  /** The first half of a reload: the second cannot fail. */
  async prepare(config: Config): Promise<Prepared> {
    const prepared = await this.sidecar.prepare(config);
    return {
      ...prepared,
      commit: async () => {
        await prepared.commit();
        this.accessLog.sample = config.accessLog?.sample ?? 0;
        const members = this.hsm.members.map(({ name }) => name).join(', ');
        const changes = prepared.changed.join(', ') || 'nothing';
        this.#logger.log(`configuration read again: the members are ${members}; changed: ${changes}`);
        if (prepared.awaitingRestart.length > 0) {
          this.#logger.warn(`changed, and waiting for a restart: ${prepared.awaitingRestart.join(', ')}`);
        }
        // An operator who has mended something expects it to be tried.
        void this.sidecar.checkCertificates();
      },
    };
  }

  drain(): void {
    process.kill(process.pid, 'SIGTERM');
  }

  #checkServing(): HealthIndicatorResult {
    const check = this.indicators.check('forwarding');
    const { state } = this.sidecar;
    if (state === 'starting') return check.down('waits for its certificate');
    return state === 'serving' ? check.up() : check.down('ends');
  }

  #checkCertificates(): HealthIndicatorResult {
    const check = this.indicators.check('certificates');
    const all = Object.entries(this.sidecar.certificates);
    const facts = Object.fromEntries(
      all.map(([name, { notAfter, failing }]) => [name, { notAfter: notAfter.toISOString(), failing: failing?.code }]),
    );
    if (all.some(([, { notAfter }]) => notAfter <= new Date())) return check.down(facts);
    return all.some(([, { failing }]) => failing !== undefined) ? check.degraded(facts) : check.up(facts);
  }
}
