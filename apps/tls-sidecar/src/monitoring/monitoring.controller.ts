import { Controller, Get, Header, HttpStatus, Res, ServiceUnavailableException } from '@nestjs/common';
import {
  type HealthCheckResult,
  HealthCheckService,
  type HealthIndicatorResult,
  HealthIndicatorService,
} from '@nestjs/terminus';
import { HsmHealthIndicator } from '@nest-hsm/hsm';
import type { FastifyReply } from 'fastify';
import { register } from 'prom-client';
import { TlsGateway } from '../gateway/tls-gateway.js';

/** What an operator's monitoring asks. */
@Controller()
export class MonitoringController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly hsm: HsmHealthIndicator,
    private readonly gateway: TlsGateway,
  ) {}

  @Get('health')
  async check(@Res({ passthrough: true }) reply: FastifyReply): Promise<HealthCheckResult | object> {
    try {
      return await this.health.check([() => this.#checkCertificate(), () => this.hsm.isHealthy()]);
    } catch (error) {
      if (!(error instanceof ServiceUnavailableException)) throw error;
      void reply.status(HttpStatus.SERVICE_UNAVAILABLE);
      return error.getResponse() as object;
    }
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  scrape(): Promise<string> {
    return register.metrics();
  }

  #checkCertificate(): HealthIndicatorResult {
    const { certificateExpiry: expiry, isServing } = this.gateway;
    const check = this.indicators.check('tls');
    if (!isServing || expiry === undefined) return check.down({ message: 'no certificate to serve yet' });
    if (expiry.getTime() <= Date.now()) return check.down({ message: `certificate ended ${expiry.toISOString()}` });
    return check.up({ certificateExpiry: expiry.toISOString() });
  }
}
