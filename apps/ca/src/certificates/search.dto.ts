export class RevocationDto {
  /** As RFC 5280 §5.3.1 names it. */
  reason: string;
  /** RFC 3339. */
  revokedAt: string;
}

export class CertificateSummaryDto {
  serial: string;
  /** Key identifier of its issuer in hexadecimal. */
  issuer: string;
  profile: string;
  requester: string;

  /** @example ['cn:www.example.test', 'dns:www.example.test'] */
  names: string[];

  /** `valid`, `expired`, `revoked` or `held`. */
  status: string;

  /** RFC 3339. */
  notBefore: string;
  notAfter: string;
  issuedAt: string;

  /** Serial of the certificate it follows. */
  renews?: string;
  revocation?: RevocationDto;
}

export class CertificatePageDto {
  /** May be fewer than `limit`, even none, before the last page. */
  certificates: CertificateSummaryDto[];
  /** Value of `cursor` for the next page; absent on the last one, and on no other. */
  next?: string;
}
