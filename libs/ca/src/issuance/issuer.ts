import { type KeyObject, X509Certificate } from 'node:crypto';
import type { Hsm, HsmKey } from '@nest-hsm/hsm';
import { CaError } from '../errors.js';
import type { CaCertificate } from './ca-certificate.js';
import { keyIdentifier } from './key-identifier.js';
import { isCaKeyAlgorithm, type SignatureAlgorithm, signatureAlgorithms } from './signature-algorithm.js';

/** What the CA needs of a token; `Hsm` has it. */
export type IssuerToken = Pick<
  Hsm,
  'load' | 'listKeys' | 'generateKeyPair' | 'generateSecretKey' | 'sign' | 'mac' | 'random'
>;

/** A key that signs certificates and CRLs, and the name it signs under. */
export interface SigningAuthority {
  /** Key identifier in hexadecimal (40 digits): how rows of the store name their issuer. */
  readonly id: string;
  /** DER of the issuer name. */
  readonly name: Buffer;
  readonly key: HsmKey;
  readonly publicKey: KeyObject;
  readonly subjectPublicKeyInfo: Buffer;
  readonly keyIdentifier: Buffer;
  readonly signatureAlgorithm: SignatureAlgorithm;
}

/** A signing authority with its certificate. */
export interface Issuer extends SigningAuthority {
  readonly certificate: CaCertificate;
  /** Its certificate first, then each one's issuer, up to the root. */
  readonly chain: readonly CaCertificate[];
}

/** @throws {CaError} ERR_CA_ISSUER_UNUSABLE when the key is of no kind a CA signs with */
export function signingAuthority(key: HsmKey, name: Buffer): SigningAuthority {
  const { algorithm, publicKey, spki } = key;
  if (!isCaKeyAlgorithm(algorithm) || publicKey === undefined || spki === undefined) {
    throw new CaError(
      'ERR_CA_ISSUER_UNUSABLE',
      `issuer key ${key.label}: want an EC P-256, EC P-384 or RSA key pair, got ${algorithm}`,
    );
  }
  const identifier = keyIdentifier(spki);
  return {
    id: identifier.toString('hex'),
    name,
    key,
    publicKey,
    subjectPublicKeyInfo: spki,
    keyIdentifier: identifier,
    signatureAlgorithm: signatureAlgorithms[algorithm],
  };
}

/**
 * Holds key and chain against each other: what the database says of a CA is believed only as far as signatures bear it out.
 * @param chain  its certificate first, the self-signed root last
 * @throws {CaError} ERR_CA_ISSUER_UNUSABLE when they do not belong together
 */
export function issuer(key: HsmKey, chain: readonly CaCertificate[]): Issuer {
  const [certificate] = chain;
  if (key.publicKey?.equals(certificate.publicKey) !== true) {
    throw new CaError(
      'ERR_CA_ISSUER_UNUSABLE',
      `issuer key ${key.label}: want the key of the stored CA certificate, got another`,
    );
  }
  const isWhole = chain.every((each, index) => isSignedBy(each, chain[index + 1] ?? each));
  if (!isWhole) {
    throw new CaError(
      'ERR_CA_ISSUER_UNUSABLE',
      `chain of issuer key ${key.label}: want each certificate signed by the next one, got another`,
    );
  }
  // Whoever certified the key may have chosen another identifier for it (RFC 5280 §4.2.1.1).
  const { subject, keyIdentifier } = certificate;
  return Object.freeze({ ...signingAuthority(key, subject), keyIdentifier, certificate, chain });
}

/** Names, key identifiers and key usage fit (X509_check_issued of OpenSSL), and the signature verifies. */
export function isSignedBy({ der }: CaCertificate, issuer: CaCertificate): boolean {
  const certificate = new X509Certificate(der);
  return certificate.checkIssued(new X509Certificate(issuer.der)) && certificate.verify(issuer.publicKey);
}
