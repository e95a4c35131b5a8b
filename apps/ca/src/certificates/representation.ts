import {
  type CaCertificate,
  type CertificateAuthority,
  encodeCertsOnly,
  encodePem,
  type IssuedCertificate,
} from '@nest-hsm/ca';
import type { FastifyReply } from 'fastify';
import { ApiError } from '../problem/api-error.js';
import type { CertificateDto } from './certificate.dto.js';

/** RFC 8555 §9.1: the certificate first, each next one certifies the one before. */
export const pemChainType = 'application/pem-certificate-chain';
/** One certificate in DER (RFC 2585 §4.1). */
export const derType = 'application/pkix-cert';
/** The certificate and its chain, in no order (RFC 8551 §3.2.2). */
export const pkcs7Type = 'application/pkcs7-mime; smime-type=certs-only';

export type Representation = 'application/json' | typeof pemChainType | typeof derType | typeof pkcs7Type;
export const representations: readonly Representation[] = ['application/json', pemChainType, derType, pkcs7Type];

/** What a media range is answered with. */
const byRange: Readonly<Record<string, Representation>> = {
  'application/json': 'application/json',
  'application/*': 'application/json',
  '*/*': 'application/json',
  [pemChainType]: pemChainType,
  'application/x-pem-file': pemChainType,
  [derType]: derType,
  'application/pkcs7-mime': pkcs7Type,
};

/**
 * The representation that Accept gives the most weight (RFC 9110 §12.5.1), the first of several; JSON for a wildcard.
 * @throws {ApiError} ERR_API_NOT_ACCEPTABLE
 */
export function negotiate(accept = '*/*', offered: readonly Representation[] = representations): Representation {
  const ranges = accept
    .split(',')
    .map((range) => ({ type: range.split(';')[0].trim().toLowerCase(), weight: weightOf(range) }));
  const named = ({ type }: { type: string }) => (Object.hasOwn(byRange, type) ? byRange[type] : undefined);
  const refused = ranges.filter(({ weight }) => !(weight > 0)).map(named);
  for (const range of ranges.sort((one, other) => other.weight - one.weight)) {
    const found = named(range);
    if (found !== undefined && offered.includes(found) && !refused.includes(found)) return found;
  }
  throw new ApiError('ERR_API_NOT_ACCEPTABLE', `Accept: want one of ${offered.join(', ')}`);
}

/** From 0, which is not acceptable, to 1 (RFC 9110 §12.4.2); what is no weight is none. */
function weightOf(range: string): number {
  const [, weight = '1'] = /;\s*q=([^;\s]*)/i.exec(range) ?? [];
  return /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(weight) ? Number(weight) : 0;
}

/** A certificate as its caller wants it, with the headers that say so. */
export function represent(
  authority: CertificateAuthority,
  issued: IssuedCertificate,
  type: Representation,
  reply: FastifyReply,
): CertificateDto | string | Buffer {
  void reply.type(type).header('vary', 'accept');
  const chain = withoutRoot(authority.chainOf(issued.issuerId));
  switch (type) {
    case derType:
      return issued.der;
    case pkcs7Type:
      return encodeCertsOnly([issued.der, ...chain.map(({ der }) => der)]);
    case pemChainType:
      return [pemOf(issued.der), ...pemChain(chain)].join('');
    case 'application/json':
      return {
        serial: issued.serial,
        certificate: pemOf(issued.der),
        chain: pemChain(chain),
        notAfter: issued.notAfter.toISOString(),
      };
  }
}

export const pemOf = (der: Buffer): string => encodePem('CERTIFICATE', der);

/** Who trusts the root has it. */
function withoutRoot(chain: readonly CaCertificate[]): readonly CaCertificate[] {
  return chain.slice(0, -1);
}

/** The chain of an issuer in PEM, without the root. @throws {CaError} ERR_CA_CERTIFICATE_NOT_FOUND */
export function pemChainOf(authority: CertificateAuthority, issuerId: string): string[] {
  return pemChain(withoutRoot(authority.chainOf(issuerId)));
}

const pems = new WeakMap<CaCertificate, string>();

/** Encoded once: it goes with every certificate. */
function pemChain(chain: readonly CaCertificate[]): string[] {
  return chain.map((certificate) => {
    let pem = pems.get(certificate);
    if (pem === undefined) pems.set(certificate, (pem = pemOf(certificate.der)));
    return pem;
  });
}
