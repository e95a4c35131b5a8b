import { Controller, Get, Header, Headers, Res, StreamableFile } from '@nestjs/common';
import { ApiOkResponse, ApiProduces, ApiTags } from '@nestjs/swagger';
import { type CaCertificate, CertificateAuthority, encodePem } from '@nest-hsm/ca';
import { SkipThrottle } from '@nestjs/throttler';
import type { FastifyReply } from 'fastify';
import { Public } from '../access/access.decorators.js';
import { negotiate, pemChainType } from '../certificates/representation.js';
import { ChainDto } from './chain.dto.js';

const derType = 'application/pkix-cert';
const pemType = 'application/x-pem-file';

/** What relying parties fetch: the CA's own certificates. */
@ApiTags('authority')
@Public()
@SkipThrottle()
@Controller('v1/ca')
export class AuthorityController {
  constructor(private readonly authority: CertificateAuthority) {}

  /** The issuing CA's certificate and those above it, the root last. */
  @Get('chain')
  @ApiProduces('application/json', pemChainType)
  @ApiOkResponse({ type: ChainDto })
  chain(
    @Headers('accept') accept: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): ChainDto | string {
    const type = negotiate(accept);
    void reply.type(type).header('vary', 'accept');
    return type === pemChainType ? this.chainPem() : { chain: this.authority.chain.map(toPem) };
  }

  /** The chain in PEM. */
  @Get('chain.pem')
  @Header('content-type', pemChainType)
  chainPem(): string {
    return this.authority.chain.map(toPem).join('');
  }

  /** The root certificate in PEM: the trust anchor. */
  @Get('root.pem')
  @Header('content-type', pemType)
  rootPem(): string {
    return toPem(this.authority.root);
  }

  /** The root certificate in DER. */
  @Get('root.der')
  rootDer(): StreamableFile {
    return new StreamableFile(this.authority.root.der, { type: derType });
  }

  /** The issuing CA's certificate in PEM. */
  @Get('issuing.pem')
  @Header('content-type', pemType)
  issuingPem(): string {
    return toPem(this.authority.issuer.certificate);
  }

  /** The issuing CA's certificate in DER, where certificates point to (RFC 5280 §4.2.2.1). */
  @Get('issuing.der')
  issuingDer(): StreamableFile {
    return new StreamableFile(this.authority.issuer.certificate.der, { type: derType });
  }
}

const toPem = ({ der }: CaCertificate): string => encodePem('CERTIFICATE', der);
