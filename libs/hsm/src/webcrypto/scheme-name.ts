import { type SignatureScheme, signatureSchemes } from '../algorithm/signature-scheme.js';

/** What WebCrypto calls a signature scheme (W3C Web Cryptography API §18, WICG Secure Curves). */
export interface SchemeName {
  readonly name: 'ECDSA' | 'RSASSA-PKCS1-v1_5' | 'RSA-PSS' | 'Ed25519';
  /** e.g. `SHA-256`; absent where the scheme hashes by itself. */
  readonly hash?: string;
}

export function schemeName(scheme: SignatureScheme): SchemeName {
  const facts = signatureSchemes[scheme];
  switch (facts.family) {
    case 'edwards':
      return { name: 'Ed25519' };
    case 'ec':
      return { name: 'ECDSA', hash: hashName(facts.hash) };
    case 'rsa':
      return { name: facts.padding === 'pss' ? 'RSA-PSS' : 'RSASSA-PKCS1-v1_5', hash: hashName(facts.hash) };
  }
}

/** sha256 → SHA-256. */
function hashName(hash: string): string {
  return hash.toUpperCase().replace('SHA', 'SHA-');
}
