import { Controller, Get, Header, Headers, Param, Res, StreamableFile } from '@nestjs/common';
import { ApiOkResponse, ApiProduces, ApiTags } from '@nestjs/swagger';
import { type CaCertificate, CertificateAuthority, encodePem } from '@nest-hsm/ca';
import { SkipThrottle } from '@nestjs/throttler';
import type { FastifyReply } from 'fastify';
import { Public } from '../access/access.decorators.js';
import { derType, negotiate, pemChainType } from '../certificates/representation.js';
import { ChainDto } from './chain.dto.js';
import { IssuerDto } from './issuer.dto.js';

const pemType = 'application/x-pem-file';
const inPem = (type: string): MethodDecorator => ApiOkResponse({ content: { [type]: {} } });
const inDer = ApiOkResponse({ content: { [derType]: {} } });

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
  @inPem(pemChainType)
  chainPem(): string {
    return this.authority.chain.map(toPem).join('');
  }

  /** The root certificate in PEM: the trust anchor. */
  @Get('root.pem')
  @Header('content-type', pemType)
  @inPem(pemType)
  rootPem(): string {
    return toPem(this.authority.root);
  }

  /** The root certificate in DER. */
  @Get('root.der')
  @inDer
  rootDer(): StreamableFile {
    return new StreamableFile(this.authority.root.der, { type: derType });
  }

  /** The issuing CA's certificate in PEM. */
  @Get('issuing.pem')
  @Header('content-type', pemType)
  @inPem(pemType)
  issuingPem(): string {
    return toPem(this.authority.issuer.certificate);
  }

  /** The issuing CA's certificate in DER, where certificates point to (RFC 5280 §4.2.2.1). */
  @Get('issuing.der')
  @inDer
  issuingDer(): StreamableFile {
    return new StreamableFile(this.authority.issuer.certificate.der, { type: derType });
  }

  /** Every issuer in service, each in every generation that still has certificates to answer for. */
  @Get('issuers')
  @ApiOkResponse({ type: [IssuerDto] })
  issuers(): IssuerDto[] {
    return this.authority.generations.map(({ name, generation, activeFrom, issuer }) => ({
      id: issuer.id,
      name,
      generation,
      isActive: this.authority.activeIssuer(name).id === issuer.id,
      activeFrom: activeFrom.toISOString(),
      notAfter: issuer.certificate.validity.notAfter.toISOString(),
    }));
  }

  /** Every chain of an issuer's key: its own one first, then those that cross-signing adds. */
  @Get('issuers/:id/chains')
  @ApiOkResponse({ type: [ChainDto] })
  chains(@Param('id') id: string): ChainDto[] {
    const chains = [this.authority.chainOf(id), ...this.authority.alternativeChainsOf(id)];
    return chains.map((chain) => ({ chain: chain.map(toPem) }));
  }

  /** A CA's certificate in DER, where certificates point to (RFC 5280 §4.2.2.1): `KEYIDENTIFIER.der`. */
  @Get('issuers/:file')
  @Header('cache-control', 'public, max-age=3600')
  @inDer
  issuerDer(@Param('file') file: string): StreamableFile {
    const id = file.replace(/\.der$/, '');
    return new StreamableFile(this.authority.authorityCertificate(id).der, { type: derType });
  }
}

const toPem = ({ der }: CaCertificate): string => encodePem('CERTIFICATE', der);
