import { Body, Controller, Get, Header, Headers, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import {
  ApiBody,
  ApiCreatedResponse,
  ApiDefaultResponse,
  ApiOkResponse,
  ApiProduces,
  ApiQuery,
  ApiTags,
} from '@nestjs/swagger';
import { CaError, CertificateAuthority, type OrderRecord, Orders } from '@nest-hsm/ca';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Caller, Requires } from '../access/access.decorators.js';
import { assertMayUse, mayUse, type Principal } from '../access/principal.js';
import { CertificateDto } from '../certificates/certificate.dto.js';
import { negotiate, represent, representations } from '../certificates/representation.js';
import { CaMetrics } from '../monitoring/ca-metrics.js';
import { readJson } from '../problem/json-body.js';
import { ProblemDto } from '../problem/problem.dto.js';
import { OrderDto, OrderListDto, RefusalDto } from './order.dto.js';
import { representOrder } from './order-representation.js';

const pageSize = 100;
const refusal = z.strictObject({ reason: z.string().max(1_000).optional() });

/** Requests under profiles that ask for approval. Whoever asks does not decide. */
@ApiTags('orders')
@ApiDefaultResponse({ type: ProblemDto, description: 'A problem document (application/problem+json)' })
@Controller('v1/orders')
export class OrdersController {
  constructor(
    private readonly orders: Orders,
    private readonly authority: CertificateAuthority,
    private readonly metrics: CaMetrics,
  ) {}

  /** Orders that wait for a decision of the caller's. */
  @Get()
  @Requires('certificates:approve')
  @Header('cache-control', 'no-store')
  @ApiQuery({ name: 'after', required: false, description: '`next` of the page before' })
  @ApiOkResponse({ type: OrderListDto })
  async list(
    @Query('after') after: string | string[] | undefined,
    @Caller() { profiles }: Principal,
  ): Promise<OrderListDto> {
    const last = after === undefined ? undefined : String(after);
    const found = await this.orders.pending(pageSize + 1, last, profiles.get('certificates:approve'));
    const page = found.slice(0, pageSize);
    return { orders: page.map(representOrder), ...(found.length > pageSize && { next: page[pageSize - 1].id }) };
  }

  /** One order, for its requester and for whoever may decide. */
  @Get(':id')
  @Requires('certificates:issue', 'certificates:approve')
  @Header('cache-control', 'no-store')
  @ApiOkResponse({ type: OrderDto })
  async find(@Param('id') id: string, @Caller() caller: Principal): Promise<OrderDto> {
    const order = await this.orders.find(id);
    if (order.requester !== caller.requester && !mayUse(caller, 'certificates:approve', order.profile))
      throw new CaError('ERR_CA_ORDER_NOT_FOUND', `order: want the id of one, got ${JSON.stringify(id.slice(0, 64))}`);
    return representOrder(order);
  }

  /** Approves an order: its certificate is issued at once. */
  @Post(':id/approval')
  @Requires('certificates:approve')
  @HttpCode(201)
  @ApiProduces(...representations)
  @ApiCreatedResponse({ type: CertificateDto })
  async approve(
    @Param('id') id: string,
    @Headers('accept') accept: string | undefined,
    @Caller() caller: Principal,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CertificateDto | string | Buffer> {
    const type = negotiate(accept);
    const { profile } = await this.#decidable(id, caller);
    const stop = this.metrics.startIssuance();
    const issued = await this.orders.approve(id, caller.requester);
    stop(profile);
    void reply.header('location', `/v1/certificates/${issued.serial}`);
    return represent(this.authority, issued, type, reply);
  }

  /** Refuses an order for good. */
  @Post(':id/refusal')
  @Requires('certificates:approve')
  @HttpCode(200)
  @ApiBody({ type: RefusalDto, required: false })
  @ApiOkResponse({ type: OrderDto })
  async refuse(@Param('id') id: string, @Body() body: unknown, @Caller() caller: Principal): Promise<OrderDto> {
    const { reason } = readJson(refusal, body ?? {}, '{ reason }');
    await this.#decidable(id, caller);
    return representOrder(await this.orders.refuse(id, caller.requester, reason));
  }

  /** An approver may be bound to profiles as a requester may. @throws {ApiError} ERR_API_FORBIDDEN */
  async #decidable(id: string, caller: Principal): Promise<OrderRecord> {
    const order = await this.orders.find(id);
    assertMayUse(caller, 'certificates:approve', order.profile);
    return order;
  }
}
