/** How a token key is wrapped under another: AES-KW (RFC 3394), AES-KWP (RFC 5649), RSA-OAEP (RFC 8017 §7.1). */
export const wrappingAlgorithms = {
  'aes-kw': { family: 'aes' },
  'aes-kwp': { family: 'aes' },
  /** SoftHSM 2.6 has OAEP with SHA-1 only, which does not weaken OAEP (no collision resistance is needed). */
  'rsa-oaep-sha1': { family: 'rsa', hash: 'sha1' },
  'rsa-oaep-sha256': { family: 'rsa', hash: 'sha256' },
} as const;

export type WrappingAlgorithm = keyof typeof wrappingAlgorithms;
/** Those by which a one-use AES key travels to the holder of an RSA key. */
export const transportAlgorithmNames = [
  'rsa-oaep-sha1',
  'rsa-oaep-sha256',
] as const satisfies readonly WrappingAlgorithm[];
export type TransportAlgorithm = (typeof transportAlgorithmNames)[number];
export const wrappingAlgorithmNames = Object.keys(wrappingAlgorithms) as readonly WrappingAlgorithm[];
