/** Facts about each kind of key the provider makes; nothing below this table enumerates key algorithms. */
export const keyAlgorithms = {
  'rsa-2048': { family: 'rsa', modulusBits: 2048 },
  'rsa-3072': { family: 'rsa', modulusBits: 3072 },
  'rsa-4096': { family: 'rsa', modulusBits: 4096 },
  'ec-p256': { family: 'ec', namedCurve: 'P-256', curveOid: '1.2.840.10045.3.1.7', coordinateBytes: 32 },
  'ec-p384': { family: 'ec', namedCurve: 'P-384', curveOid: '1.3.132.0.34', coordinateBytes: 48 },
  'ec-p521': { family: 'ec', namedCurve: 'P-521', curveOid: '1.3.132.0.35', coordinateBytes: 66 },
  ed25519: { family: 'edwards', namedCurve: 'Ed25519', curveOid: '1.3.101.112', coordinateBytes: 32 },
  'aes-256': { family: 'aes', keyBytes: 32 },
  'hmac-sha256': { family: 'hmac', keyBytes: 32 },
} as const;

export type KeyAlgorithm = keyof typeof keyAlgorithms;
export type KeyFamily = (typeof keyAlgorithms)[KeyAlgorithm]['family'];
export type AsymmetricKeyAlgorithm = Exclude<KeyAlgorithm, 'aes-256' | 'hmac-sha256'>;
export type SecretKeyAlgorithm = 'aes-256' | 'hmac-sha256';
export const keyAlgorithmNames = Object.keys(keyAlgorithms) as readonly KeyAlgorithm[];
