import { Controller, Get, Header, HttpStatus, Res, ServiceUnavailableException } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import {
  type HealthCheckResult,
  HealthCheckService,
  type HealthIndicatorResult,
  HealthIndicatorService,
} from '@nestjs/terminus';
import { SkipThrottle } from '@nestjs/throttler';
import { CaHealthIndicator, CertificateAuthority } from '@nest-hsm/ca';
import { HsmHealthIndicator } from '@nest-hsm/hsm';
import type { FastifyReply } from 'fastify';
import { DataSource } from 'typeorm';
import { Public } from '../access/access.decorators.js';
import { CaMetrics } from './ca-metrics.js';

/** What an operator's monitoring asks. */
@ApiExcludeController()
@Public()
@SkipThrottle()
@Controller()
export class MonitoringController {
  /** However many ask at once, the parts are asked once. */
  #checking: Promise<HealthCheckResult> | undefined;

  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly hsm: HsmHealthIndicator,
    private readonly ca: CaHealthIndicator,
    private readonly authority: CertificateAuthority,
    private readonly dataSource: DataSource,
    private readonly metrics: CaMetrics,
  ) {}

  @Get('health')
  async check(@Res({ passthrough: true }) reply: FastifyReply): Promise<HealthCheckResult | object> {
    try {
      this.#checking ??= this.#checkParts().finally(() => (this.#checking = undefined));
      return await this.#checking;
    } catch (error) {
      if (!(error instanceof ServiceUnavailableException)) throw error;
      // The result says which part is down; a problem document would not.
      void reply.status(HttpStatus.SERVICE_UNAVAILABLE);
      return error.getResponse() as object;
    }
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  async scrape(): Promise<string> {
    this.metrics.crls(this.authority.status.watch());
    return this.metrics.registry.metrics();
  }

  async #checkParts(): Promise<HealthCheckResult> {
    return this.health.check([() => this.#pingDatabase(), () => this.hsm.isHealthy(), () => this.ca.check()]);
  }

  /** Without the driver's message: this answer is public. */
  async #pingDatabase(): Promise<HealthIndicatorResult> {
    const check = this.indicators.check('database');
    try {
      await this.dataSource.query('SELECT 1');
      return check.up();
    } catch {
      return check.down();
    }
  }
}
