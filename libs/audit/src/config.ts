import { z } from 'zod';
import { trailNameSchema } from './checkpoint/checkpoint.js';
import type { CheckpointSettings } from './checkpoint/checkpointer.js';
import { AuditError } from './errors.js';
import type { ForwarderSettings } from './syslog/forwarder.js';

const file = z.string().min(1);

const syslog = z
  .strictObject({
    host: z.string().min(1),
    /** 6514 is that of TLS (RFC 5425 §4.1). */
    port: z.int().min(1).max(65_535).default(6_514),
    /** TLS verifies the collector; TCP is for a way that nobody else can listen on or write to. */
    transport: z.enum(['tls', 'tcp']).default('tls'),
    tls: z
      .strictObject({
        /** PEM of those who certify the collector; the well-known certificate authorities when absent. */
        caFile: file.optional(),
        /** PEM of our own certificate, for a collector that asks for one, and of its key. */
        certificateFile: file.optional(),
        keyFile: file.optional(),
        /** In the collector's certificate, when it is not `host`. */
        serverName: z.string().min(1).optional(),
      })
      .refine(({ certificateFile, keyFile }) => (certificateFile === undefined) === (keyFile === undefined), {
        message: 'want certificateFile and keyFile, or neither',
      })
      .readonly()
      .optional(),
    /** How far the collector has the trail; made when missing. */
    positionsFile: file,
    /** RFC 5424 §6.2.1, table 1; 13 is "log audit". */
    facility: z.int().min(0).max(23).default(13),
    /** Private enterprise number in the name of the structured data; 32473 is the one for examples (RFC 5612). */
    enterpriseNumber: z.int().min(1).default(32_473),
    /** How long the collector may give no sign of life. */
    timeoutMilliseconds: z.int().min(100).default(30_000),
  })
  .refine(({ transport, tls }) => transport === 'tls' || tls === undefined, {
    path: ['tls'],
    message: 'want it with transport: tls only',
  })
  .readonly();

const checkpoints = z
  .strictObject({
    /** Checkpoints are appended to it; made when missing. */
    file,
    /** Label or RFC 7512 URI of an ec-p256 key on a token that is not one of those that are audited. */
    key: z.string().min(1),
    everySeconds: z.int().min(1).max(86_400).default(60),
  })
  .readonly();

/** What becomes of a trail: signed checkpoints, and a copy off the host. */
export const auditConfigSchema = z
  .strictObject({
    /** The name of this trail, in checkpoints and messages, e.g. of the application and its host. */
    trail: trailNameSchema,
    /** Where the agents write it; the directories of several fleets when their members have different names. */
    directories: z.array(file).min(1).readonly(),
    checkpoints: checkpoints.optional(),
    syslog: syslog.optional(),
  })
  .readonly();
/** What an operator writes. */
export type AuditConfig = z.input<typeof auditConfigSchema>;
/** Parsed once, complete, frozen. */
export type ParsedAuditConfig = z.output<typeof auditConfigSchema>;

/** @throws {AuditError} ERR_AUDIT_CONFIG_INVALID listing all faults together */
export function parseAuditConfig(config: AuditConfig): ParsedAuditConfig {
  const parsed = auditConfigSchema.safeParse(config);
  if (parsed.success) return parsed.data;
  throw new AuditError('ERR_AUDIT_CONFIG_INVALID', `audit configuration:\n${z.prettifyError(parsed.error)}`);
}

/** @returns undefined when no checkpoints are to be made */
export function checkpointSettings({
  trail,
  directories,
  checkpoints,
}: ParsedAuditConfig): CheckpointSettings | undefined {
  return checkpoints && { trail, directories, file: checkpoints.file, key: checkpoints.key };
}

/** @returns undefined when nothing is to be forwarded */
export function forwarderSettings({
  trail,
  directories,
  checkpoints,
  syslog,
}: ParsedAuditConfig): ForwarderSettings | undefined {
  if (syslog === undefined) return undefined;
  const { positionsFile, facility, enterpriseNumber, ...collector } = syslog;
  return {
    trail,
    directories,
    checkpointFile: checkpoints?.file,
    positionsFile,
    collector,
    facility,
    enterpriseNumber,
  };
}
