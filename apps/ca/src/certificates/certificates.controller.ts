import { Body, Controller, Get, Header, Headers, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import {
  ApiBody,
  ApiConsumes,
  ApiCreatedResponse,
  ApiDefaultResponse,
  ApiOkResponse,
  ApiProduces,
  ApiQuery,
  ApiTags,
} from '@nestjs/swagger';
import { CertificateAuthority, encodePem, type IssuedCertificate } from '@nest-hsm/ca';
import type { FastifyReply } from 'fastify';
import { Caller, Requires } from '../access/access.decorators.js';
import { assertMayAskFor, type Principal } from '../access/principal.js';
import { CaMetrics } from '../monitoring/ca-metrics.js';
import { ProblemDto } from '../problem/problem.dto.js';
import { csrMediaTypes, readIssueRequest } from './body.js';
import { CertificateDto, IssueRequestDto } from './certificate.dto.js';
import { negotiate, pemChainType } from './representation.js';

@ApiTags('certificates')
@ApiDefaultResponse({ type: ProblemDto, description: 'A problem document (application/problem+json)' })
@Controller('v1/certificates')
export class CertificatesController {
  constructor(
    private readonly authority: CertificateAuthority,
    private readonly metrics: CaMetrics,
  ) {}

  /** Issues a certificate for a CSR. */
  @Post()
  @Requires('certificates:issue')
  @HttpCode(201)
  @ApiQuery({ name: 'profile', description: 'a profile that the CA offers', required: false })
  @ApiConsumes('application/json', ...csrMediaTypes)
  @ApiBody({
    type: IssueRequestDto,
    description: 'JSON, or the CSR itself: DER as application/pkcs10, PEM as the others',
  })
  @ApiProduces('application/json', pemChainType)
  @ApiCreatedResponse({ type: CertificateDto })
  async issue(
    @Body() body: unknown,
    @Query('profile') profile: unknown,
    @Headers('accept') accept: string | undefined,
    @Caller() caller: Principal,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CertificateDto | string> {
    const type = negotiate(accept);
    const request = readIssueRequest(body, profile);
    assertMayAskFor(caller, request.profile);
    const stop = this.metrics.startIssuance();
    const issued = await this.authority.issue(request.csr, request.profile, { requester: caller.requester });
    stop(request.profile);
    void reply.header('location', `/v1/certificates/${issued.serial}`);
    return this.#represent(issued, type, reply);
  }

  /** An issued certificate. */
  @Get(':serial')
  @Requires('certificates:read')
  @Header('cache-control', 'private, max-age=3600')
  @ApiProduces('application/json', pemChainType)
  @ApiOkResponse({ type: CertificateDto })
  async find(
    @Param('serial') serial: string,
    @Headers('accept') accept: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CertificateDto | string> {
    const type = negotiate(accept);
    return this.#represent(await this.authority.find(serial), type, reply);
  }

  #represent(
    issued: IssuedCertificate,
    type: ReturnType<typeof negotiate>,
    reply: FastifyReply,
  ): CertificateDto | string {
    const certificate = encodePem('CERTIFICATE', issued.der);
    const chain = this.authority.chain.slice(0, -1).map(({ der }) => encodePem('CERTIFICATE', der));
    void reply.type(type).header('vary', 'accept');
    if (type === pemChainType) return [certificate, ...chain].join('');
    return { serial: issued.serial, certificate, chain, notAfter: issued.notAfter.toISOString() };
  }
}
