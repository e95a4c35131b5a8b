export { type DataEncryptionConfig, dataEncryptionConfigSchema } from './config.js';
export {
  DataEncryptionError,
  type DataEncryptionErrorCode,
  dataEncryptionErrorCodes,
  type DataEncryptionFault,
} from './errors.js';
export type { DataKeyStatus } from './data-key-lease.js';
export type { KekHolder } from './key-encryption-key.js';
export type { DataEncryptionObserver } from './observer.js';
export type { KeyScopeKind } from './key-scope.js';
export type { Tenant } from './tenant.js';
export { TenantContext } from './tenant-context.js';
export type { Normalization } from './blind-index.js';
export type { ValueType } from './cell-type.js';
export {
  EncryptedColumn,
  type EncryptedColumnOptions,
  EncryptedEntity,
  type EncryptedEntityOptions,
  type SearchableOptions,
} from './typeorm/decorators.js';
export { DataEncryption, withDataEncryption } from './typeorm/data-encryption.js';
export { enc } from './typeorm/search-condition.js';
export {
  type ShreddingReceipt,
  type SignedShreddingReceipt,
  verifyShreddingReceipt,
} from './shredding/shredding-receipt.js';
export type { ShredOptions } from './typeorm/shredding/tenant-shredding.js';
export type { WaitedProcess } from './typeorm/shredding/process-acknowledgement.js';
export type { DataKeyView, DataLifecycle, Rewrapping } from './typeorm/lifecycle/data-lifecycle.js';
export type { Backfill, BackfillOptions, BackfillProgress } from './typeorm/lifecycle/plaintext-passes.js';
export type { PlaintextPlan } from './typeorm/lifecycle/plaintext-counts.js';
export type { PlaintextColumnOptions, PlaintextPhase } from './typeorm/plaintext-column.js';
export type { Reencryption, ReencryptionProgress, ReencryptOptions } from './typeorm/lifecycle/reencryption.js';
export type { Verification, VerificationProgress, VerifyOptions } from './typeorm/lifecycle/verification.js';
export { DataKeyEntity } from './typeorm/store/data-key.entity.js';
export { AddDataEncryptionKeyScopes1767484800000 } from './typeorm/store/add-key-scopes.migration.js';
export { AddBlindIndexKeys1767312000000 } from './typeorm/store/add-blind-index-keys.migration.js';
export { CreateDataEncryptionKeys1767225600000 } from './typeorm/store/create-data-keys.migration.js';
export { CreateDataEncryptionRanges1767398400000 } from './typeorm/store/create-ranges.migration.js';
export { CreateDataEncryptionShreddings1767571200000 } from './typeorm/store/create-shreddings.migration.js';
export { dataEncryptionMigrations } from './typeorm/store/migrations.js';
export {
  DataEncryptionModule,
  type DataEncryptionModuleOptions,
  type EncryptedTypeOrmOptions,
} from './nest/data-encryption.module.js';
export { type DataEncryptionHealth, DataEncryptionHealthIndicator } from './nest/data-encryption.health.js';
