import { Controller, Get, Header, HttpStatus, Res, ServiceUnavailableException } from '@nestjs/common';
import {
  type HealthCheckResult,
  HealthCheckService,
  type HealthIndicatorResult,
  HealthIndicatorService,
} from '@nestjs/terminus';
import { HsmHealthIndicator } from '@nest-hsm/hsm';
import type { FastifyReply } from 'fastify';
import { Forwarding } from '../forwarding/forwarding.js';
import { SidecarMetrics } from './sidecar-metrics.js';

/** What an operator's monitoring asks. */
@Controller()
export class MonitoringController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly hsm: HsmHealthIndicator,
    private readonly forwarding: Forwarding,
    private readonly metrics: SidecarMetrics,
  ) {}

  @Get('health')
  async check(@Res({ passthrough: true }) reply: FastifyReply): Promise<HealthCheckResult | object> {
    try {
      return await this.health.check([() => this.#checkForwarding(), () => this.hsm.isHealthy()]);
    } catch (error) {
      if (!(error instanceof ServiceUnavailableException)) throw error;
      void reply.status(HttpStatus.SERVICE_UNAVAILABLE);
      return error.getResponse() as object;
    }
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  scrape(): Promise<string> {
    return this.metrics.registry.metrics();
  }

  #checkForwarding(): HealthIndicatorResult {
    const { notAfter } = this.forwarding;
    const check = this.indicators.check('forwarding');
    if (notAfter === undefined) return check.down('waits for its certificate');
    const validity = { certificateNotAfter: notAfter.toISOString() };
    return notAfter > new Date() ? check.up(validity) : check.down(validity);
  }
}
