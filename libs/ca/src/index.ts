export type { CertificateAuthorityOptions } from './assembly.js';
export { CertificateAuthority } from './certificate-authority.js';
export { type CaConfig, caConfigSchema, parseCaConfig, type ParsedCaConfig } from './config.js';
export { CaError, type CaErrorCode, caErrorCodes, type CaErrorFault } from './errors.js';
export { type CaJob, type CaObserver, type CaStep, caSteps } from './observer.js';
export { type ApiTokenRequest, ApiTokens, type ApiTokenView } from './access/api-tokens.js';
export { type Grant, type Scope, scopes } from './access/scope.js';
export { CaAdministration } from './authority/ca-administration.js';
export type { Chain } from './authority/chains.js';
export type { HierarchyOptions } from './authority/hierarchy.js';
export { isCaKeyLabel } from './authority/configured-ca.js';
export { defaultIssuer, type Generation } from './authority/issuers.js';
export { type CeremonyOptions, holdCeremony } from './ceremony/ceremony.js';
export { type VerifiedCa, type VerifiedCeremony, verifyTranscript } from './ceremony/verify-transcript.js';
export { type ClusterCertificates, type ClusterSigningOptions, signClusterCsr } from './cluster/cluster-certificate.js';
export { Orders, type OrderRequest, type OrdersOptions } from './approval/orders.js';
export { encodeCertsOnly } from './der/certs-only.js';
export type { ExpiryNotice } from './jobs/expiry-notice.js';
export { reconcile, type Reconciliation, type SignatureEvent } from './reconciliation/reconcile.js';
export type { JobRunner, Jobs, SharedJobs } from './schedule.js';
export { encodePem } from './der/pem.js';
export type { CaCertificate } from './issuance/ca-certificate.js';
export type { IssuedCertificate } from './issuance/issuance.js';
export type { Issuer, IssuerToken, SigningAuthority } from './issuance/issuer.js';
export type { SignatureAlgorithm } from './issuance/signature-algorithm.js';
export type { IssuanceTicket, TicketBinding } from './issuance/ticket.js';
export type { Validity } from './issuance/tbs-certificate.js';
export type { NameConstraints } from './profile/name-constraints.js';
export type { Profile } from './profile/profile.js';
export { readProfileFile } from './profile/profile-file.js';
export { type ProfileInput, type ProfilesInput } from './profile/profile-schema.js';
export { maximumCsrBytes } from './request/csr.js';
export type { IssueOptions, OnceKey, RenewOptions } from './request/requests.js';
export { type CertificateQuery, type IssuedStatus, issuedStatuses, maximumPage } from './search/certificate-query.js';
export { type ForeignCrl, maximumCrlBytes, readForeignCrl } from './revocation/foreign-crl.js';
export { certificateNames } from './search/search-names.js';
export type { CertificatePage, CertificateSummary } from './search/certificate-search.js';
export type { CertificateSearchStore, FoundCertificate } from './store/certificate-search-store.js';
export type { OrderDecision, OrderRecord, OrderState, OrderStore, PendingOrdersQuery } from './store/order-store.js';
export { maximumOcspRequestBytes } from './ocsp/ocsp-request.js';
export { issuerKeyLabels, issuerLabelOf } from './ocsp/responder-label.js';
export type { OcspAllowance } from './ocsp/ocsp-admission.js';
export type { CacheFacts, OcspAnswer, OcspOutcome, OcspResponder } from './ocsp/ocsp-responder.js';
export { CertificateStatus } from './revocation/certificate-status.js';
export { crlFileName, readCrlFileName } from './revocation/crl-location.js';
export type { CrlCondition, CrlWatch } from './revocation/crl-watch.js';
export type { PublishedCrl } from './revocation/stored-crl.js';
export { requestableReasons, type RevocationReason, revocationReasons } from './revocation/revocation-reason.js';
export type { Revoked, RevokeKeyOptions, SameKey } from './revocation/compromised-keys.js';
export type { RevokeOptions } from './revocation/revocations.js';
export type { SignedRecord, SignedRecordKind, SignedRecordStore } from './store/signed-record-store.js';
export type { ExpiringCertificate, ExpiryPosition, ExpiryQuery, ExpiryStore } from './store/expiry-store.js';
export type { AuthorityStore, GenerationRecord, ImportedCertificate } from './store/authority-store.js';
export type {
  CertificateRecord,
  CertificateState,
  CertificateStore,
  Reservation,
  TicketRedemption,
} from './store/certificate-store.js';
export type { ApiTokenRecord, ApiTokenStore } from './store/api-token-store.js';
export type { CertIdHash, OcspResponseKey, OcspStore, StoredOcspResponse } from './store/ocsp-store.js';
export type { CrlClaim, CrlRecord, CrlScope, CrlStore } from './store/crl-store.js';
export type {
  CertificateStanding,
  CrlEntry,
  EntryQuery,
  RevocationRecord,
  RevocationState,
  RevocationStore,
  StatusChange,
  StatusDecision,
} from './store/revocation-store.js';
export {
  caEntities,
  type DatabaseConfig,
  databaseUrl,
  databaseConfigSchema,
  openCaDatabase,
} from './store/typeorm/database.js';
export { caMigrations } from './store/typeorm/migrate.js';
export { TypeOrmOrderStore } from './store/typeorm/typeorm-order-store.js';
export { TypeOrmApiTokenStore } from './store/typeorm/typeorm-api-token-store.js';
export { TypeOrmAuthorityStore } from './store/typeorm/typeorm-authority-store.js';
export { TypeOrmCertificateStore } from './store/typeorm/typeorm-certificate-store.js';
export { TypeOrmExpiryStore } from './store/typeorm/typeorm-expiry-store.js';
export { TypeOrmSignedRecordStore } from './store/typeorm/typeorm-signed-record-store.js';
export { caStores } from './store/typeorm/stores.js';
export { TypeOrmCrlStore } from './store/typeorm/typeorm-crl-store.js';
export { TypeOrmRevocationStore } from './store/typeorm/typeorm-revocation-store.js';
export { type CaHealth, CaHealthIndicator } from './nest/ca.health.js';
export { CaModule } from './nest/ca.module.js';
export type { CaModuleOptions } from './nest/ca.module-definition.js';
