/**
 * WebCrypto over an Hsm, so that libraries which take a `Crypto` (@peculiar/x509, pkijs) sign with keys that stay on the
 * token. Only `subtle.sign` with a key of `cryptoKeyPair` goes to the token; all else is Node's own WebCrypto.
 */
import { webcrypto } from 'node:crypto';
import { type SignatureScheme, signatureSchemeNames, signatureSchemes } from '../algorithm/signature-scheme.js';
import type { Hsm } from '../hsm.js';
import { schemeName } from './scheme-name.js';
import { TokenCryptoKey } from './token-crypto-key.js';

type SignAlgorithm = Parameters<webcrypto.SubtleCrypto['sign']>[0];
/** What a signing call may say, of whichever algorithm. */
interface SignParameters {
  readonly name: string;
  readonly hash?: string | { readonly name: string };
  readonly saltLength?: number;
}

/** A `Crypto` whose token keys belong to `hsm`. ECDSA signatures are r ‖ s, as WebCrypto has them. */
export function hsmCrypto(hsm: Hsm): webcrypto.Crypto {
  const subtle = withMethod(
    webcrypto.subtle,
    'sign',
    async (algorithm: SignAlgorithm, key: webcrypto.CryptoKey, data: webcrypto.BufferSource) => {
      if (!(key instanceof TokenCryptoKey)) return webcrypto.subtle.sign(algorithm, key, data);
      const scheme = signatureScheme(algorithm, key);
      const signature = await hsm.sign(key.key, scheme, bytesOf(data), { format: 'p1363' });
      return new Uint8Array(signature).buffer;
    },
  );
  return withMethod(webcrypto, 'subtle', subtle);
}

/** The object itself but for one property. Node's WebCrypto checks `this`, so its methods are bound to the original. */
function withMethod<T extends object, Name extends keyof T>(target: T, replaced: Name, value: T[Name]): T {
  return new Proxy(target, {
    get: (_, name) => {
      if (name === replaced) return value;
      const own: unknown = Reflect.get(target, name, target);
      return typeof own === 'function' ? (own.bind(target) as unknown) : own;
    },
  });
}

/** @throws {DOMException} as WebCrypto does: InvalidAccessError | NotSupportedError */
function signatureScheme(algorithm: SignAlgorithm, key: TokenCryptoKey): SignatureScheme {
  const asked: SignParameters = typeof algorithm === 'string' ? { name: algorithm } : algorithm;
  const bound: SignParameters = key.algorithm;
  if (asked.name.toLowerCase() !== bound.name.toLowerCase()) {
    throw new DOMException(`want ${bound.name}, as the key is, got ${asked.name}`, 'InvalidAccessError');
  }
  const hash = hashOf(bound) ?? hashOf(asked);
  const scheme = signatureSchemeNames.find((each) => {
    const { name, hash: schemeHash } = schemeName(each);
    return name === bound.name && (schemeHash === undefined || schemeHash === hash);
  });
  if (scheme === undefined) throw new DOMException(`${bound.name} with ${hash}: no such scheme`, 'NotSupportedError');
  const { digestBytes } = { digestBytes: 0, ...signatureSchemes[scheme] };
  if (bound.name === 'RSA-PSS' && asked.saltLength !== digestBytes) {
    throw new DOMException(`want a salt of ${digestBytes} bytes, got ${asked.saltLength}`, 'NotSupportedError');
  }
  return scheme;
}

function hashOf({ hash }: SignParameters): string | undefined {
  return (typeof hash === 'string' ? hash : hash?.name)?.toUpperCase();
}

function bytesOf(data: webcrypto.BufferSource): Uint8Array {
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}
