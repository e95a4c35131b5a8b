import { Body, Controller, Get, Header, Headers, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import {
  ApiAcceptedResponse,
  ApiBody,
  ApiConsumes,
  ApiCreatedResponse,
  ApiDefaultResponse,
  ApiHeader,
  ApiOkResponse,
  ApiProduces,
  ApiQuery,
  ApiTags,
} from '@nestjs/swagger';
import { CertificateAuthority } from '@nest-hsm/ca';
import type { FastifyReply } from 'fastify';
import { Caller, Requires } from '../access/access.decorators.js';
import type { Principal } from '../access/principal.js';
import { OrderDto } from '../orders/order.dto.js';
import { representOrder } from '../orders/order-representation.js';
import { ProblemDto } from '../problem/problem.dto.js';
import { ProblemReports } from '../problem/problem-reports.js';
import { BatchDto, BatchRequestDto } from './batch.dto.js';
import { representBatch } from './batch-representation.js';
import { csrMediaTypes, readBatch, readIssueRequest, readRenewal } from './body.js';
import { CertificateDto, IssueRequestDto, RenewalDto } from './certificate.dto.js';
import { idempotencyKey } from './idempotency-key.js';
import { negotiate, represent, representations } from './representation.js';
import { CertificatePageDto } from './search.dto.js';
import { readQuery, representPage, searchParameters } from './search.js';
import { Submissions } from './submissions.js';

const idempotency = {
  name: 'Idempotency-Key',
  required: false,
  description: 'For 24 hours the same key is answered with the same certificate; another request with it is refused.',
};
const profileParameter = { name: 'profile', description: 'A profile that the CA offers', required: false };

@ApiTags('certificates')
@ApiDefaultResponse({ type: ProblemDto, description: 'A problem document (application/problem+json)' })
@Controller('v1/certificates')
export class CertificatesController {
  constructor(
    private readonly authority: CertificateAuthority,
    private readonly submissions: Submissions,
    private readonly problems: ProblemReports,
  ) {}

  /** Issues a certificate for a CSR; under a profile that asks for approval, keeps an order. */
  @Post()
  @Requires('certificates:issue')
  @ApiQuery(profileParameter)
  @ApiHeader(idempotency)
  @ApiConsumes('application/json', ...csrMediaTypes)
  @ApiBody({
    type: IssueRequestDto,
    description: 'JSON, or the CSR itself: DER as application/pkcs10, PEM as the others',
  })
  @ApiProduces(...representations)
  @ApiCreatedResponse({ type: CertificateDto })
  @ApiAcceptedResponse({ type: OrderDto, description: 'It waits for approval; `Location` is the order' })
  async issue(
    @Body() body: unknown,
    @Query('profile') profile: unknown,
    @Headers('accept') accept: string | undefined,
    @Headers('idempotency-key') key: string | undefined,
    @Caller() caller: Principal,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CertificateDto | OrderDto | string | Buffer> {
    const type = negotiate(accept);
    const submitted = await this.submissions.submit(readIssueRequest(body, profile), caller, idempotencyKey(key));
    if ('issued' in submitted) {
      void reply.header('location', `/v1/certificates/${submitted.issued.serial}`);
      return represent(this.authority, submitted.issued, type, reply);
    }
    void reply.status(202).header('location', `/v1/orders/${submitted.order.id}`);
    return representOrder(submitted.order);
  }

  /** Issues a certificate for each of 1 to 500 CSRs. Each has its own result: one that is refused does not concern the others. */
  @Post('batch')
  @Requires('certificates:issue')
  @HttpCode(200)
  @ApiQuery(profileParameter)
  @ApiHeader(idempotency)
  @ApiBody({ type: BatchRequestDto })
  @ApiOkResponse({ type: BatchDto })
  async issueBatch(
    @Body() body: unknown,
    @Query('profile') profile: unknown,
    @Headers('idempotency-key') key: string | undefined,
    @Caller() caller: Principal,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<BatchDto> {
    const results = await this.submissions.submitAll(readBatch(body, profile), caller, idempotencyKey(key));
    const report = (error: unknown) => this.problems.report(error, String(reply.request.id));
    return representBatch(this.authority, results, report);
  }

  /** Issues a certificate that follows one of the caller's own: same profile, subject and names, and same key unless a CSR brings another. */
  @Post(':serial/renewal')
  @Requires('certificates:issue')
  @ApiHeader(idempotency)
  @ApiConsumes('application/json', ...csrMediaTypes)
  @ApiBody({ type: RenewalDto, required: false })
  @ApiProduces(...representations)
  @ApiCreatedResponse({ type: CertificateDto })
  async renew(
    @Param('serial') serial: string,
    @Body() body: unknown,
    @Headers('accept') accept: string | undefined,
    @Headers('idempotency-key') key: string | undefined,
    @Caller() caller: Principal,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CertificateDto | string | Buffer> {
    const type = negotiate(accept);
    const issued = await this.submissions.renew(serial, readRenewal(body), caller, idempotencyKey(key));
    void reply.header('location', `/v1/certificates/${issued.serial}`);
    return represent(this.authority, issued, type, reply);
  }

  /** Issued certificates, a page at a time: the newest first; by serial, or by expiry, where those are asked for. */
  @Get()
  @Requires('certificates:read')
  @Header('cache-control', 'no-store')
  @searchParameters()
  @ApiOkResponse({ type: CertificatePageDto })
  async search(@Query() query: Record<string, unknown>): Promise<CertificatePageDto> {
    return representPage(await this.authority.list(readQuery(query)));
  }

  /** An issued certificate, with its chain or alone. */
  @Get(':serial')
  @Requires('certificates:read')
  @Header('cache-control', 'private, max-age=3600')
  @ApiProduces(...representations)
  @ApiOkResponse({ type: CertificateDto })
  async find(
    @Param('serial') serial: string,
    @Headers('accept') accept: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CertificateDto | string | Buffer> {
    const type = negotiate(accept);
    return represent(this.authority, await this.authority.find(serial), type, reply);
  }
}
