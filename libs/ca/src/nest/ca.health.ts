import { Injectable } from '@nestjs/common';
import { CertificateAuthority } from '../certificate-authority.js';

/** What @nestjs/terminus takes from a health indicator. */
export type CaHealth = Record<
  'ca',
  { readonly status: 'up' | 'down'; readonly crlNextUpdate: string; readonly issuerNotAfter: string }
>;

/** Down once the CRL has lapsed or the issuing certificate has expired. Whether the token signs is the HSM's own indicator. */
@Injectable()
export class CaHealthIndicator {
  constructor(private readonly authority: CertificateAuthority) {}

  check(now = new Date()): CaHealth {
    const { nextUpdate } = this.authority.crl;
    const { notAfter } = this.authority.issuer.certificate.validity;
    const status = now < nextUpdate && now < notAfter ? 'up' : 'down';
    return { ca: { status, crlNextUpdate: nextUpdate.toISOString(), issuerNotAfter: notAfter.toISOString() } };
  }
}
