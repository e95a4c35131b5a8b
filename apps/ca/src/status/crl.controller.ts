import { Controller, Get, Param, Req, Res } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { CaError, CertificateAuthority, type PublishedCrl, readCrlFileName } from '@nest-hsm/ca';
import { SkipThrottle } from '@nestjs/throttler';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Public } from '../access/access.decorators.js';
import { sendCacheable } from './cacheable.js';
import { pemOfCrl } from './crl-pem.js';

/** A CRL may be replaced at any time, so caches ask again after an hour at the latest. */
const maximumAgeSeconds = 3_600;

const derType = 'application/pkix-crl';
const pemType = 'application/x-pem-file';

/** CRLs (RFC 5280 §5), for everybody. */
@ApiTags('status')
@Public()
@SkipThrottle()
@Controller('v1')
export class CrlController {
  constructor(private readonly authority: CertificateAuthority) {}

  /** The complete CRL of the issuing CA, in DER. */
  @Get(['crl', 'crl.der'])
  @ApiOkResponse({ content: { [derType]: {} } })
  der(@Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    send(request, reply, this.authority.crl, 'der');
  }

  /** The complete CRL of the issuing CA, in PEM. */
  @Get('crl.pem')
  @ApiOkResponse({ content: { [pemType]: {} } })
  pem(@Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    send(request, reply, this.authority.crl, 'pem');
  }

  /** A CRL by issuer (key identifier in hexadecimal) and name: `full`, `delta`, `shard-3`, `shard-3-delta`, then `.der` or `.pem`. */
  @Get('crl/:issuerId/:name')
  @ApiOkResponse({ content: { [derType]: {}, [pemType]: {} } })
  named(
    @Param('issuerId') issuerId: string,
    @Param('name') name: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): void {
    const [, file, ending] = /^([a-z0-9-]+)\.(der|pem)$/.exec(name) ?? [];
    const scope = file === undefined ? undefined : readCrlFileName(file);
    if (scope === undefined)
      throw new CaError(
        'ERR_CA_CRL_NOT_FOUND',
        `CRL: want full.der or the like, got ${JSON.stringify(name.slice(0, 64))}`,
      );
    send(request, reply, this.authority.status.crl({ issuerId, ...scope }), ending as 'der' | 'pem');
  }
}

function send(request: FastifyRequest, reply: FastifyReply, crl: PublishedCrl, form: 'der' | 'pem'): void {
  const { der, thisUpdate, nextUpdate, tbsSha256 } = crl;
  const left = Math.floor((nextUpdate.getTime() - Date.now()) / 1000);
  sendCacheable(request, reply, {
    octets: form === 'der' ? der : pemOfCrl(crl),
    type: form === 'der' ? derType : pemType,
    etag: `"${tbsSha256}-${form}"`,
    lastModified: thisUpdate,
    expires: nextUpdate,
    maxAgeSeconds: Math.max(0, Math.min(maximumAgeSeconds, left)),
  });
}
