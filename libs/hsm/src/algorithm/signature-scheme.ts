/**
 * Signature schemes, named by primitive and hash. The curve of an ECDSA key comes from the key, so any hash may be
 * used with any curve, as TLS 1.2 allows (RFC 5246 §7.4.1.4.1). PSS salts are as long as the digest (RFC 8446 §4.2.3).
 */
export const signatureSchemes = {
  'ecdsa-sha256': { family: 'ec', hash: 'sha256', digestBytes: 32 },
  'ecdsa-sha384': { family: 'ec', hash: 'sha384', digestBytes: 48 },
  'ecdsa-sha512': { family: 'ec', hash: 'sha512', digestBytes: 64 },
  'rsa-pkcs1-sha256': { family: 'rsa', padding: 'pkcs1', hash: 'sha256', digestBytes: 32 },
  'rsa-pkcs1-sha384': { family: 'rsa', padding: 'pkcs1', hash: 'sha384', digestBytes: 48 },
  'rsa-pkcs1-sha512': { family: 'rsa', padding: 'pkcs1', hash: 'sha512', digestBytes: 64 },
  'rsa-pss-sha256': { family: 'rsa', padding: 'pss', hash: 'sha256', digestBytes: 32 },
  'rsa-pss-sha384': { family: 'rsa', padding: 'pss', hash: 'sha384', digestBytes: 48 },
  'rsa-pss-sha512': { family: 'rsa', padding: 'pss', hash: 'sha512', digestBytes: 64 },
  /** Pure Ed25519 (RFC 8032 §5.1): signs the message itself, never a digest. */
  ed25519: { family: 'edwards' },
} as const;

export type SignatureScheme = keyof typeof signatureSchemes;
export const signatureSchemeNames = Object.keys(signatureSchemes) as readonly SignatureScheme[];

/** What a key signs with when nothing says otherwise. */
export const defaultSchemes = {
  rsa: 'rsa-pkcs1-sha256',
  ec: 'ecdsa-sha256',
  edwards: 'ed25519',
} as const satisfies Record<(typeof signatureSchemes)[SignatureScheme]['family'], SignatureScheme>;

/** `der`: SEQUENCE { r, s } (RFC 3279 §2.2.3), as certificates and TLS want; `p1363`: r ‖ s, as WebCrypto wants. */
export const ecdsaSignatureFormats = ['der', 'p1363'] as const;
export type EcdsaSignatureFormat = (typeof ecdsaSignatureFormats)[number];
