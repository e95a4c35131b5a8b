import { Controller, Get, Header, HttpStatus, Res, ServiceUnavailableException } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import {
  type HealthCheckResult,
  HealthCheckService,
  type HealthIndicatorResult,
  HealthIndicatorService,
} from '@nestjs/terminus';
import { DataEncryptionHealthIndicator } from '@nest-hsm/data-encryption';
import { HsmHealthIndicator } from '@nest-hsm/hsm';
import type { FastifyReply } from 'fastify';
import { register } from 'prom-client';
import { DataSource } from 'typeorm';

/** What an operator's monitoring asks. */
@ApiExcludeController()
@Controller()
export class MonitoringController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly hsm: HsmHealthIndicator,
    private readonly encryption: DataEncryptionHealthIndicator,
    private readonly dataSource: DataSource,
  ) {}

  @Get('health')
  async check(@Res({ passthrough: true }) reply: FastifyReply): Promise<HealthCheckResult | object> {
    try {
      return await this.health.check([
        () => this.#pingDatabase(),
        () => this.encryption.isHealthy(),
        () => this.hsm.isHealthy(),
      ]);
    } catch (error) {
      if (!(error instanceof ServiceUnavailableException)) throw error;
      // The result says which part is down; a problem document would not.
      void reply.status(HttpStatus.SERVICE_UNAVAILABLE);
      return error.getResponse() as object;
    }
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  scrape(): Promise<string> {
    return register.metrics();
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
