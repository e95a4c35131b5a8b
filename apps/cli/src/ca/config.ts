import { type CaConfig, caConfigSchema, type DatabaseConfig, databaseConfigSchema } from '@nest-hsm/ca';
import { hsmConfigSchema } from '@nest-hsm/hsm';
import { z } from 'zod';
import { readSections } from '../config.js';

/** What the command needs of apps/ca's file; how it listens is not its business. */
const caFile = z.object({ hsm: hsmConfigSchema, database: databaseConfigSchema, ...caConfigSchema.shape });

export interface CaFile {
  readonly database: DatabaseConfig;
  readonly ca: CaConfig;
}

/** @throws {CliError} ERR_CLI_CONFIG listing all faults together */
export async function readCaFile(file: string): Promise<CaFile> {
  const { hsm: _, database, ...ca } = await readSections(file, caFile);
  return { database, ca };
}
