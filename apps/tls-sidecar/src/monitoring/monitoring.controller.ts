import { Controller, Get, Header, HttpStatus, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { type Operations, operationsToken } from '../operations.js';

/** What an operator's monitoring asks. */
@Controller()
export class MonitoringController {
  constructor(@Inject(operationsToken) private readonly operations: Operations) {}

  /** Whether it does what it is for, or will by itself. */
  @Get('health')
  async health(@Res({ passthrough: true }) reply: FastifyReply): Promise<object> {
    const { isUp, report } = await this.operations.health();
    if (!isUp) void reply.status(HttpStatus.SERVICE_UNAVAILABLE);
    return report;
  }

  /** Whether a load balancer should send clients: not before the first certificate, and not while it ends. */
  @Get('ready')
  async ready(@Res({ passthrough: true }) reply: FastifyReply): Promise<object> {
    const isReady = await this.operations.isReady();
    if (!isReady) void reply.status(HttpStatus.SERVICE_UNAVAILABLE);
    return { ready: isReady };
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  metrics(): Promise<string> {
    return this.operations.metrics();
  }
}
