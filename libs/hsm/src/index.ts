export { Hsm } from './hsm.js';
export type { CallOptions, NewKeyPair, NewSecretKey, SignOptions } from './hsm-options.js';
export { type HsmConfig, hsmConfigSchema, parseHsmConfig, type ParsedHsmConfig } from './config.js';
export type { HsmMemberConfig, HsmSocketMemberConfig, HsmTokenMemberConfig } from './member-config.js';
export { ConfigurationFaults, ConfigurationFile, type FieldFault } from './configuration-file.js';
export { HsmError, type HsmErrorCode, hsmErrorCodes, type HsmErrorFault } from './errors.js';
export type { HsmKey, KeyDescription, KeyId, KeySelector, KeyUsage } from './key/key.js';
export type { PolicyRule, SignatureInput, TokenDescription } from './agent/protocol.js';
export { type TrafficClass, trafficClasses } from './agent/traffic-class.js';
export { type AsymmetricKeyAlgorithm, type KeyAlgorithm, keyAlgorithms } from './algorithm/key-algorithm.js';
export { type EcdsaSignatureFormat, type SignatureScheme, signatureSchemes } from './algorithm/signature-scheme.js';
export { type WrappingAlgorithm, wrappingAlgorithms } from './algorithm/wrapping-algorithm.js';
export type { MemberState } from './fleet/member-state.js';
export type { AttemptEvent, CallEvent, HsmLoad, HsmObserver, MemberStatus } from './fleet/observer.js';
export type { CallPurpose } from './fleet/call-options.js';
export type { Enrolment } from './keyring/enrolment.js';
export type { Departure, KeyCustody } from './keyring/custody.js';
export type { Ceremony } from './keyring/recovery/ceremony.js';
export type { KeyOutcome, PlannedAction, PlannedKey } from './keyring/recovery/planned-key.js';
export { type RecoveryPublicKey, RecoveryToken } from './keyring/recovery/recovery-token.js';
export type { VerifiedBackup } from './keyring/backup/backup-file.js';
export { type BackupEntry, type BackupState, backupStateSchema } from './keyring/backup/backup-register.js';
export { readBackup } from './keyring/backup/backup-storage.js';
export type { BackupSummary } from './keyring/backup/create-backup.js';
export { fingerprint } from './algorithm/encoding-public-key.js';
export { SharedAgent, type SharedAgentObserver, type SharedAgentRole } from './shared-agent/shared-agent.js';
export { type SharedAgentConfig, sharedAgentConfigSchema } from './shared-agent/config.js';
export { FleetProvisioner, type MemberPlan, type ProvisioningConsent } from './provisioning/fleet-provisioner.js';
export { type ProvisioningStep, provisioningSteps } from './provisioning/plan.js';
export type { TokenState } from './provisioning/protocol.js';
export {
  type ParsedProvisioningConfig,
  type ProvisioningConfig,
  provisioningConfigSchema,
} from './provisioning/provisioning-config.js';
export {
  changeTokenPin,
  type PinChange,
  type PinChangeOutcome,
  type PinHolder,
  resetTokenPin,
  revokeTokenUser,
  type TokenStatus,
  tokenStatus,
} from './provisioning/token-pins.js';
export type { ForeignObject } from './keyring/consistency.js';
export type { ConsistencyReport } from './keyring/consistency-audit.js';
export type { Finding } from './keyring/consistency-finding.js';
export type { DestructionOptions } from './keyring/destruction.js';
export { parseReceipt, type Receipt, type SignedReceipt, verifyReceipt } from './keyring/receipt.js';
export type { KeyAge } from './keyring/rotation.js';
export { formatKeyUri, type KeyUri, parseKeyUri } from './key/key-uri.js';
export {
  chainFault,
  type ChainFault,
  type ChainPosition,
  chainStart,
  hashOfLine,
  positionAfter,
} from './audit/chain.js';
export {
  type AuditRecord,
  type AuditRecordKind,
  maximumLineBytes as maximumAuditLineBytes,
  parseAuditRecord,
  type UnreadableBytes,
} from './audit/record.js';
export { type ChainFiles, listChains, parseSegmentName, type SegmentName, segmentName } from './audit/segment-name.js';
export { readSegment, type SegmentLine, type SegmentPart } from './audit/segment-reader.js';
export { LogOutput } from './log-output.js';
export { withProcessLock } from './process-lock.js';
export { hsmCrypto } from './webcrypto/hsm-crypto.js';
export { cryptoKeyPair } from './webcrypto/token-crypto-key.js';
export { HsmModule } from './nest/hsm.module.js';
export type { HsmModuleExtras, HsmModuleOptions } from './nest/hsm.module-options.js';
export { hsmHealthToken, hsmToken, InjectHsm, InjectHsmHealth } from './nest/hsm.tokens.js';
export { HsmHealthIndicator } from './nest/hsm.health.js';
export { measurementKeyPrefix } from './keyring/infrastructure.js';
export { answerUnready, untilServing } from './nest/readiness.js';
export { provideLogOutput } from './nest/log-output.provider.js';
export {
  changedSettings,
  HsmReload,
  provideHsmReload,
  type ReloadableConfig,
  type Reloaded,
  shutdownSignals,
} from './nest/hsm.reload.js';
