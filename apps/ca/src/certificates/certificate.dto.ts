/** A certificate request in JSON. */
export class IssueRequestDto {
  /** PKCS #10 in PEM, at most 64 KiB. */
  csr: string;

  /** A profile that the CA offers; instead of the query parameter. */
  profile?: string;
}

export class RenewalDto {
  /** PKCS #10 in PEM for the same subject and names, with another key; absent: the key stays. */
  csr?: string;
}

export class CertificateDto {
  /**
   * 32 hexadecimal digits.
   * @example '4f1d0c9a6b2e47d3a85c1e90f7b36d24'
   */
  serial: string;

  /** The certificate in PEM. */
  certificate: string;

  /** The issuing CA's certificate in PEM, and those above it except the root. */
  chain: string[];

  /**
   * RFC 3339.
   * @example '2027-02-20T03:33:06.000Z'
   */
  notAfter: string;
}
