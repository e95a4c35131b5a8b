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
