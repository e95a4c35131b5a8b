import { crlLocation, shardOfSerial } from '../revocation/crl-location.js';

/** The URL of a CA's own certificate (RFC 5280 §4.2.2.1). @param issuerId  its key identifier in hexadecimal */
export function issuerLocation(publicUrl: string, issuerId: string): string;
export function issuerLocation(publicUrl: string | undefined, issuerId: string): string | undefined;
export function issuerLocation(publicUrl: string | undefined, issuerId: string): string | undefined {
  return publicUrl === undefined ? undefined : `${publicUrl}/v1/ca/issuers/${issuerId}.der`;
}

/** Where relying parties find what belongs to an issuer, written into what it issues. */
export interface IssuerLocations {
  /** Its certificate. */
  readonly caIssuers: readonly string[];
  /** Its OCSP responder. */
  readonly ocsp: readonly string[];
  /** Its complete CRL. */
  readonly crl: readonly string[];
  /** The CRL of the shard that an end entity's certificate of a serial belongs to; absent without shards. */
  readonly crlShard?: (serial: Buffer) => string;
}

/** What of the configuration says where things are. */
export interface LocationConfig {
  readonly publicUrl?: string;
  /** Absent: no OCSP. */
  readonly ocsp?: object;
  readonly crl: { readonly shards: number };
}

/** Nothing when the CA has no public URL. @param issuerId  key identifier of the issuer in hexadecimal */
export function issuerLocations({ publicUrl, ocsp, crl }: LocationConfig, issuerId: string): IssuerLocations {
  if (publicUrl === undefined) return { caIssuers: [], ocsp: [], crl: [] };
  const crlUrl = (shard: number): string => crlLocation(publicUrl, { issuerId, shard, kind: 'full' });
  return {
    caIssuers: [issuerLocation(publicUrl, issuerId)],
    ocsp: ocsp === undefined ? [] : [`${publicUrl}/v1/ocsp`],
    crl: [crlUrl(0)],
    ...(crl.shards > 1 && { crlShard: (serial) => crlUrl(shardOfSerial(serial, crl.shards)) }),
  };
}
