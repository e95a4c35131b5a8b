import type { SignatureScheme } from '@nest-hsm/hsm';
import { der } from '../der/der-writer.js';
import { oids } from '../der/oid.js';

/** Keys a CA may have. */
export const caKeyAlgorithms = ['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const;
export type CaKeyAlgorithm = (typeof caKeyAlgorithms)[number];

export interface SignatureAlgorithm {
  readonly scheme: SignatureScheme;
  readonly hash: 'sha256' | 'sha384';
  /** DER AlgorithmIdentifier: NULL parameters for RSA (RFC 4055 §5), none for ECDSA (RFC 5758 §3.2). */
  readonly identifier: Buffer;
}

const ecdsaSha256: SignatureAlgorithm = {
  scheme: 'ecdsa-sha256',
  hash: 'sha256',
  identifier: der((writer) => writer.sequence(() => writer.oid(oids.ecdsaWithSHA256))),
};
const ecdsaSha384: SignatureAlgorithm = {
  scheme: 'ecdsa-sha384',
  hash: 'sha384',
  identifier: der((writer) => writer.sequence(() => writer.oid(oids.ecdsaWithSHA384))),
};
const rsaSha256: SignatureAlgorithm = {
  scheme: 'rsa-pkcs1-sha256',
  hash: 'sha256',
  identifier: der((writer) => writer.sequence(() => writer.oid(oids.sha256WithRSAEncryption).null())),
};

/** How each kind of CA key signs; nothing below this table enumerates them. */
export const signatureAlgorithms: Readonly<Record<CaKeyAlgorithm, SignatureAlgorithm>> = {
  'ec-p256': ecdsaSha256,
  'ec-p384': ecdsaSha384,
  'rsa-2048': rsaSha256,
  'rsa-3072': rsaSha256,
  'rsa-4096': rsaSha256,
};

export function isCaKeyAlgorithm(algorithm: string): algorithm is CaKeyAlgorithm {
  return Object.hasOwn(signatureAlgorithms, algorithm);
}
