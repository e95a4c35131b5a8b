import { Controller, Get, Header, StreamableFile } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CertificateAuthority, encodePem } from '@nest-hsm/ca';
import { SkipThrottle } from '@nestjs/throttler';
import { Public } from '../access/access.decorators.js';

/** The issuing CA's CRL (RFC 5280 §5). */
@ApiTags('authority')
@Public()
@SkipThrottle()
@Controller('v1')
export class CrlController {
  constructor(private readonly authority: CertificateAuthority) {}

  /** The CRL in DER. */
  @Get(['crl', 'crl.der'])
  der(): StreamableFile {
    return new StreamableFile(this.authority.crl.der, { type: 'application/pkix-crl' });
  }

  /** The CRL in PEM. */
  @Get('crl.pem')
  @Header('content-type', 'application/x-pem-file')
  pem(): string {
    return encodePem('X509 CRL', this.authority.crl.der);
  }
}
