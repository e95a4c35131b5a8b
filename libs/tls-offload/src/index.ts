export { TlsTerminator, type TerminatorOptions, type TerminatorStatistics } from './terminator.js';
export { TlsSocket } from './socket.js';
export { createTlsOffloadServer } from './http-server.js';
export { L4Proxy, type L4ProxyStatistics } from './proxy/l4.js';
export { Credential } from './credential.js';
export { type CaCredentialOptions, credentialFromCa } from './credential-source/ca.js';
export { credentialFromFile } from './credential-source/file.js';
export type { HandshakeSigner, HandshakeSignOptions, SignatureStatistics } from './handshake-signer.js';
export {
  type CaCredentialConfig,
  caCredentialConfigSchema,
  type FileCredentialConfig,
  fileCredentialConfigSchema,
  type L4ProxyConfig,
  l4ProxyConfigSchema,
  type TerminatorConfig,
  terminatorConfigSchema,
} from './config.js';
export {
  TlsOffloadError,
  type TlsOffloadErrorCode,
  tlsOffloadErrorCodes,
  type TlsOffloadErrorFault,
} from './errors.js';
export { TlsOffloadModule } from './nest/tls-offload.module.js';
