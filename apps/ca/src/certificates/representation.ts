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
 * The first acceptable representation that Accept names, JSON for a wildcard. Weights are not compared: whoever names several
 * names the best one first.
 * @throws {ApiError} ERR_API_NOT_ACCEPTABLE
 */
export function negotiate(accept = '*/*', offered: readonly Representation[] = representations): Representation {
  for (const range of accept.split(',')) {
    const type = range.split(';')[0].trim().toLowerCase();
    const found = Object.hasOwn(byRange, type) ? byRange[type] : undefined;
    if (found !== undefined && offered.includes(found)) return found;
  }
  throw new ApiError('ERR_API_NOT_ACCEPTABLE', `Accept: want one of ${offered.join(', ')}`);
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
