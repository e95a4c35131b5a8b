import { auditConfigSchema } from '@nest-hsm/audit';
import { hsmConfigSchema } from '@nest-hsm/hsm';
import { z } from 'zod';
import { readSections } from '../config.js';

/** A file of its own: the token that signs checkpoints is none of those that are audited. */
const auditFile = z
  .strictObject({ hsm: hsmConfigSchema.optional(), audit: auditConfigSchema })
  .refine(({ hsm, audit }) => audit.checkpoints === undefined || hsm !== undefined, {
    path: ['hsm'],
    message: 'want the token that signs checkpoints',
  });
export type AuditFile = z.output<typeof auditFile>;

/** @throws {CliError} ERR_CLI_CONFIG listing all faults together */
export function readAuditFile(file: string): Promise<AuditFile> {
  return readSections(file, auditFile);
}
