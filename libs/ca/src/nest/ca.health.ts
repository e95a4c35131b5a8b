import { Injectable } from '@nestjs/common';
import { CertificateAuthority } from '../certificate-authority.js';

/** What @nestjs/terminus takes from a health indicator. */
export type CaHealth = Record<
  'ca',
  {
    readonly status: 'up' | 'down';
    /** Of the CRL that lapses first, of those that are made here. */
    readonly crlNextUpdate: string;
    /** CRLs that should long have been made anew, or nobody takes any more. */
    readonly crlsOverdue: number;
    readonly issuerNotAfter: string;
  }
>;

/** Down once a CRL has lapsed or the issuing certificate has expired. Whether the token signs is the HSM's own indicator. */
@Injectable()
export class CaHealthIndicator {
  constructor(private readonly authority: CertificateAuthority) {}

  check(now = new Date()): CaHealth {
    const crls = this.authority.status.watch(now);
    // What cannot be made anew here is counted as overdue: it is no reason to serve nothing else.
    const own = crls.filter(({ isKept }) => !isKept);
    const nextUpdate = new Date(Math.min(...own.map((crl) => crl.nextUpdate.getTime())));
    const crlsOverdue = crls.filter(({ condition }) => condition !== 'fresh').length;
    const { notAfter } = this.authority.issuer.certificate.validity;
    const status = now < nextUpdate && now < notAfter ? 'up' : 'down';
    const issuerNotAfter = notAfter.toISOString();
    return { ca: { status, crlNextUpdate: nextUpdate.toISOString(), crlsOverdue, issuerNotAfter } };
  }
}
