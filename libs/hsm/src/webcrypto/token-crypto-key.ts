import type { webcrypto } from 'node:crypto';
import { keyAlgorithms } from '../algorithm/key-algorithm.js';
import { type SignatureScheme, signatureSchemes } from '../algorithm/signature-scheme.js';
import { HsmError } from '../errors.js';
import type { HsmKey } from '../key/key.js';
import { type SchemeName, schemeName } from './scheme-name.js';

/** The private half of a token key in the shape of a WebCrypto CryptoKey. It holds no key bytes, only which key it is. */
export class TokenCryptoKey implements webcrypto.CryptoKey {
  readonly type = 'private';
  readonly extractable = false;
  readonly usages: webcrypto.KeyUsage[] = ['sign'];

  constructor(
    readonly key: HsmKey,
    readonly algorithm: webcrypto.KeyAlgorithm,
  ) {}
}

/**
 * A token key as a WebCrypto key pair: the public half is an ordinary CryptoKey, the private half works with `hsmCrypto` only.
 * @param scheme  WebCrypto binds an RSA key to one padding and hash; rsa-pkcs1-sha256 when absent. An EC key takes the hash of
 * each call.
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID when the key does not sign, or not by that scheme
 */
export function cryptoKeyPair(key: HsmKey, scheme?: SignatureScheme): webcrypto.CryptoKeyPair {
  if (key.usage !== 'sign' || key.publicKey === undefined) {
    throw new HsmError(
      'ERR_HSM_ARGUMENT_INVALID',
      `key "${key.label}": want a pair that signs, got usage ${key.usage}`,
    );
  }
  const algorithm = bindingAlgorithm(key, scheme);
  const publicKey = key.publicKey.toCryptoKey(algorithm, true, ['verify']);
  // Its algorithm has all that WebCrypto says of such a key, e.g. the modulus length of an RSA key.
  return { publicKey, privateKey: new TokenCryptoKey(key, publicKey.algorithm) };
}

function bindingAlgorithm(key: HsmKey, scheme = defaultScheme(key)): SchemeName & { namedCurve?: string } {
  const facts = keyAlgorithms[key.algorithm];
  if (facts.family !== signatureSchemes[scheme].family) {
    throw new HsmError(
      'ERR_HSM_ARGUMENT_INVALID',
      `key "${key.label}": want a scheme of ${key.algorithm}, got ${scheme}`,
    );
  }
  return { ...schemeName(scheme), ...(facts.family === 'ec' && { namedCurve: facts.namedCurve }) };
}

function defaultScheme({ algorithm }: HsmKey): SignatureScheme {
  const { family } = keyAlgorithms[algorithm];
  if (family === 'rsa') return 'rsa-pkcs1-sha256';
  return family === 'edwards' ? 'ed25519' : 'ecdsa-sha256';
}
