export type { HandshakeEvent, TerminatorObserver } from './observer.js';
export { TlsTerminator, type TerminatorOptions, type TerminatorStatistics } from './terminator.js';
export type { ConnectionStatistics } from './connections.js';
export type { ServedCredentials } from './offer.js';
export type { ClientCertificateStatistics } from './client-auth.js';
export type { CrlStatus } from './peer-authorities.js';
export {
  SessionTickets,
  type SessionTicketOptions,
  type SessionTicketStatus,
  type TicketKeyWrapper,
} from './tickets.js';
export { TicketKeyDirectory, type TicketKeyStore, type WrappedTicketKey } from './ticket-key-store.js';
export type { StaplingStatus } from './stapling.js';
export { TlsSocket, type TlsSocketOptions } from './socket.js';
export {
  type ConnectOptions,
  type ConnectorOptions,
  type ConnectorStatistics,
  type SecureOptions,
  TlsConnector,
} from './connector/connector.js';
export { type ConnectorConfig, connectorConfigSchema } from './connector/connector-config.js';
export { HttpsAgent } from './connector/https-agent.js';
export { type UndiciConnect, undiciConnector, type UndiciConnectOptions } from './connector/undici-connector.js';
export { createTlsOffloadServer, type TlsOffloadServerOptions } from './http-server.js';
export { type L4ConnectionEvent, L4Proxy, type L4ProxyObserver, type L4ProxyStatistics } from './proxy/l4.js';
export { type ExchangeRecord, L7Proxy, type L7ProxyStatistics } from './proxy/l7.js';
export type { UpstreamStatistics } from './proxy/upstream.js';
export type { UpstreamChange, UpstreamState } from './proxy/upstream-standing.js';
export type { UpstreamTlsOptions } from './proxy/upstream-tls.js';
export { type L7ProxyConfig, l7ProxyConfigSchema } from './proxy/l7-config.js';
export { Credential } from './credential.js';
export { type CaCredentialOptions, CaCredentialSource, credentialFromCa } from './credential-source/ca.js';
export {
  CredentialKeeper,
  type CredentialKeeperObserver,
  type CredentialKeeperStatus,
} from './credential-source/credential-keeper.js';
export { makeCertificateRequest, type RequestedNames } from './credential-source/certificate-request.js';
export type { CredentialSource } from './credential-source/credential-source.js';
export type { CredentialPurpose } from './credential-source/self-handshake.js';
export { credentialFromFile, FileCredentialSource } from './credential-source/file.js';
export type {
  HandshakeSigner,
  HandshakeSignOptions,
  Lingering,
  SignatureEvent,
  SignatureStatistics,
} from './handshake-signer.js';
export {
  type CaCredentialConfig,
  type ClientCertificateConfig,
  clientCertificateConfigSchema,
  caCredentialConfigSchema,
  type FileCredentialConfig,
  fileCredentialConfigSchema,
  type L4ProxyConfig,
  l4ProxyConfigSchema,
  type ParsedSessionTicketConfig,
  type SessionTicketConfig,
  serverNameSchema,
  sessionTicketConfigSchema,
  type TerminatorConfig,
  terminatorConfigSchema,
} from './config.js';
export { isListedName } from './server-name.js';
export {
  TlsOffloadError,
  type TlsOffloadErrorCode,
  tlsOffloadErrorCodes,
  type TlsOffloadErrorFault,
} from './errors.js';
export { overTls } from './nest/http-adapter.js';
export { TlsConnectorModule } from './nest/tls-connector.module.js';
export { TlsOffloadModule } from './nest/tls-offload.module.js';
