/** Paths under `publicUrl` that certificates point to; apps/ca serves them. */
const paths = { crl: '/v1/crl.der', root: '/v1/ca/root.der', issuing: '/v1/ca/issuing.der' } as const;

/** The URL of something relying parties fetch; undefined when the CA has no public URL. */
export function location(publicUrl: string | undefined, what: keyof typeof paths): string | undefined {
  return publicUrl === undefined ? undefined : `${publicUrl}${paths[what]}`;
}

/** The URL of a CA's own certificate (RFC 5280 §4.2.2.1). @param issuerId  its key identifier in hexadecimal */
export function issuerLocation(publicUrl: string | undefined, issuerId: string): string | undefined {
  return publicUrl === undefined ? undefined : `${publicUrl}/v1/ca/issuers/${issuerId}.der`;
}

/** Where relying parties find what belongs to an issuer, written into what it issues. */
export interface IssuerLocations {
  /** Its certificate. */
  readonly caIssuers: readonly string[];
  /** Its OCSP responder. */
  readonly ocsp: readonly string[];
  readonly crl: readonly string[];
}

/** Nothing when the CA has no public URL. @param issuerId  key identifier of the issuer in hexadecimal */
export function issuerLocations(publicUrl: string | undefined, issuerId: string): IssuerLocations {
  const [caIssuers, crl] = [issuerLocation(publicUrl, issuerId), location(publicUrl, 'crl')];
  return { caIssuers: caIssuers === undefined ? [] : [caIssuers], ocsp: [], crl: crl === undefined ? [] : [crl] };
}
