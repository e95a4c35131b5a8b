export {
  type AuditConfig,
  auditConfigSchema,
  checkpointSettings,
  forwarderSettings,
  parseAuditConfig,
  type ParsedAuditConfig,
} from './config.js';
export { type AuditObserver, type AuditTasks, keepAudit } from './keep-audit.js';
export { AuditError, type AuditErrorCode, auditErrorCodes, type AuditErrorFault } from './errors.js';
export { type Anchor, readAnchor } from './checkpoint/anchor.js';
export {
  type ChainHead,
  type Checkpoint,
  formatCheckpoint,
  parseCheckpoint,
  type SignedCheckpoint,
} from './checkpoint/checkpoint.js';
export { readCheckpoints } from './checkpoint/checkpoint-chain.js';
export { Checkpointer, type CheckpointHsm, type CheckpointSettings } from './checkpoint/checkpointer.js';
export type { Finding, FindingKind } from './trail/finding.js';
export type { ChainReport, CheckpointsReport, Note, ProvenUpTo, TrailReport } from './verification/report.js';
export { verifyTrail, type VerifyOptions } from './verification/verify.js';
export type { BatchSettings } from './syslog/batch.js';
export type { CollectorSettings } from './syslog/collector.js';
export { Forwarder, type ForwarderSettings } from './syslog/forwarder.js';
export { type ExportFormat, exportFormats, exportRecords } from './search/export.js';
export type { RecordFilter } from './search/filter.js';
export { type FoundRecord, type SearchOptions, searchTrail } from './search/search.js';
export { toldBy, type ToldFields } from './search/told-fields.js';
