export { type CallOptions, Hsm, type NewKeyPair, type NewSecretKey, type SignOptions } from './hsm.js';
export { type HsmConfig, hsmConfigSchema, parseHsmConfig, type ParsedHsmConfig } from './config.js';
export { HsmError, type HsmErrorCode, hsmErrorCodes, type HsmErrorFault } from './errors.js';
export type { HsmKey, KeyDescription, KeyId, KeySelector, KeyUsage } from './key/key.js';
export type { PolicyRule, SignatureInput, TokenDescription } from './agent/protocol.js';
export { type AsymmetricKeyAlgorithm, type KeyAlgorithm, keyAlgorithms } from './algorithm/key-algorithm.js';
export { type EcdsaSignatureFormat, type SignatureScheme, signatureSchemes } from './algorithm/signature-scheme.js';
export { type WrappingAlgorithm, wrappingAlgorithms } from './algorithm/wrapping-algorithm.js';
