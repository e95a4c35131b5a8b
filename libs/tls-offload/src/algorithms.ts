/**
 * What may be negotiated, best first; nothing else can be configured. AEAD with forward secrecy, hashes from SHA-256 on that
 * the token signs with, no group below 128 bits of classical strength.
 */

/** OpenSSL's names; those of TLS 1.3 (RFC 8446 §B.4) begin with `TLS_`. */
export const cipherSuites = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
] as const;
export type CipherSuite = (typeof cipherSuites)[number];

/** Those with ML-KEM are hybrids: safe while either half is (draft-ietf-tls-ecdhe-mlkem). */
export const keyExchangeGroups = [
  'X25519MLKEM768',
  'SecP256r1MLKEM768',
  'SecP384r1MLKEM1024',
  'X25519',
  'P-256',
  'X448',
  'P-384',
  'P-521',
] as const;
export type KeyExchangeGroup = (typeof keyExchangeGroups)[number];

/** A client has the hybrid, or X25519, or is old and has P-256; the others are for who must have them. */
export const defaultGroups: readonly KeyExchangeGroup[] = ['X25519MLKEM768', 'X25519', 'P-256'];

/** Named as in RFC 8446 §4.2.3. */
export const signatureAlgorithms = [
  'ecdsa_secp256r1_sha256',
  'ecdsa_secp384r1_sha384',
  'ecdsa_secp521r1_sha512',
  'ed25519',
  'rsa_pss_rsae_sha256',
  'rsa_pss_rsae_sha384',
  'rsa_pss_rsae_sha512',
  'rsa_pkcs1_sha256',
  'rsa_pkcs1_sha384',
  'rsa_pkcs1_sha512',
] as const;
export type SignatureAlgorithm = (typeof signatureAlgorithms)[number];

export const isTls13Suite = (suite: CipherSuite): boolean => suite.startsWith('TLS_');
