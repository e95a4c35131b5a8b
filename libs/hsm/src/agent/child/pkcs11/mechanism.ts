/** From the algorithm tables to mechanisms and their parameters. A mechanism that is not here cannot be asked for. */
import {
  keyAlgorithms,
  keyAlgorithmNames,
  type KeyAlgorithm,
  type KeyFamily,
} from '../../../algorithm/key-algorithm.js';
import { signatureSchemes, signatureSchemeNames, type SignatureScheme } from '../../../algorithm/signature-scheme.js';
import { wrappingAlgorithmNames, type WrappingAlgorithm } from '../../../algorithm/wrapping-algorithm.js';
import type { KeyUsage } from '../../../key/key.js';
import { ck, type Mechanism } from './native.js';
import type { OnePartMechanism } from './token-calls.js';
import type { VendorProfile } from './vendor-profile.js';

const generation: Readonly<Record<KeyFamily, number>> = {
  rsa: ck.CKM_RSA_PKCS_KEY_PAIR_GEN,
  ec: ck.CKM_EC_KEY_PAIR_GEN,
  edwards: ck.CKM_EC_EDWARDS_KEY_PAIR_GEN,
  aes: ck.CKM_AES_KEY_GEN,
  hmac: ck.CKM_GENERIC_SECRET_KEY_GEN,
};

export function generationMechanism(algorithm: KeyAlgorithm): Mechanism {
  return { mechanism: generation[keyAlgorithms[algorithm].family] };
}

const hashes = {
  sha1: { mechanism: ck.CKM_SHA_1, mgf: ck.CKG_MGF1_SHA1 },
  sha256: { mechanism: ck.CKM_SHA256, mgf: ck.CKG_MGF1_SHA256 },
  sha384: { mechanism: ck.CKM_SHA384, mgf: ck.CKG_MGF1_SHA384 },
  sha512: { mechanism: ck.CKM_SHA512, mgf: ck.CKG_MGF1_SHA512 },
} as const;

/**
 * The mechanisms that sign a digest (or, for Ed25519, the message), so that one path serves both kinds of input:
 * CKM_ECDSA, CKM_RSA_PKCS on a DigestInfo, CKM_RSA_PKCS_PSS with a salt as long as the digest, CKM_EDDSA.
 */
export function signatureMechanism(scheme: SignatureScheme): OnePartMechanism {
  const facts = signatureSchemes[scheme];
  if (facts.family === 'ec') return { mechanism: ck.CKM_ECDSA };
  if (facts.family === 'edwards') return { mechanism: ck.CKM_EDDSA };
  if (facts.padding === 'pkcs1') return { mechanism: ck.CKM_RSA_PKCS };
  const { mechanism: hashAlg, mgf } = hashes[facts.hash];
  return { mechanism: ck.CKM_RSA_PKCS_PSS, parameter: { hashAlg, mgf, saltBytes: facts.digestBytes } };
}

export const hmacMechanism: OnePartMechanism = { mechanism: ck.CKM_SHA256_HMAC };

/** AES-GCM with a 16-byte tag. @param nonce  empty where the token draws its own */
export function gcmMechanism(profile: VendorProfile, nonce: Buffer, aad: Buffer): OnePartMechanism {
  return { mechanism: profile.gcm.mechanism, parameter: { nonce, aad, tagBits: 128 } };
}

export function wrappingMechanism(profile: VendorProfile, algorithm: WrappingAlgorithm): Mechanism {
  switch (algorithm) {
    case 'aes-kw':
      return { mechanism: profile.aesKw.kw };
    case 'aes-kwp':
      return { mechanism: profile.aesKw.kwp };
    case 'rsa-oaep-sha1':
      return oaepMechanism('sha1');
    case 'rsa-oaep-sha256':
      return oaepMechanism('sha256');
  }
}

function oaepMechanism(hash: 'sha1' | 'sha256'): Mechanism {
  const { mechanism: hashAlg, mgf } = hashes[hash];
  const parameter = { type: ck.CK_PARAMS_RSA_OAEP, hashAlg, mgf, source: ck.CKZ_DATA_SPECIFIED };
  return { mechanism: ck.CKM_RSA_PKCS_OAEP, parameter };
}

/** What a key of this family and role may ever be used with: its CKA_ALLOWED_MECHANISMS. */
export function allowedMechanisms(profile: VendorProfile, family: KeyFamily, usage: KeyUsage): number[] {
  switch (usage) {
    case 'sign':
      if (family === 'rsa') return [ck.CKM_RSA_PKCS, ck.CKM_RSA_PKCS_PSS];
      return [family === 'ec' ? ck.CKM_ECDSA : ck.CKM_EDDSA];
    case 'encrypt':
      return [profile.gcm.mechanism];
    case 'wrap':
      return [profile.aesKw.kw, profile.aesKw.kwp];
    case 'mac':
      return [ck.CKM_SHA256_HMAC];
    case 'unwrap':
      return [ck.CKM_RSA_PKCS_OAEP];
  }
}

/** Names of our tables whose mechanism the token offers. */
export function supportedNames(profile: VendorProfile, offered: ReadonlySet<number>): string[] {
  const has = ({ mechanism }: { readonly mechanism: number }): boolean => offered.has(mechanism);
  const isOaepOffered = (name: WrappingAlgorithm): boolean =>
    !name.startsWith('rsa-oaep-') || profile.oaepHashes.some((hash) => name === `rsa-oaep-${hash}`);
  return [
    ...keyAlgorithmNames.filter((name) => has(generationMechanism(name))),
    ...signatureSchemeNames.filter((name) => has(signatureMechanism(name))),
    ...wrappingAlgorithmNames.filter((name) => has(wrappingMechanism(profile, name)) && isOaepOffered(name)),
  ];
}
