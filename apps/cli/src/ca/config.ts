import { readFile } from 'node:fs/promises';
import { type CaConfig, caConfigSchema, type DatabaseConfig, databaseConfigSchema } from '@nest-hsm/ca';
import { hsmConfigSchema } from '@nest-hsm/hsm';
import { parse } from 'yaml';
import { z } from 'zod';
import { CliError } from '../faults.js';

/** What the command needs of apps/ca's file; how it listens is not its business. */
const caFile = z.object({ hsm: hsmConfigSchema, database: databaseConfigSchema, ...caConfigSchema.shape });

export interface CaFile {
  readonly database: DatabaseConfig;
  readonly ca: CaConfig;
}

/** @throws {CliError} ERR_CLI_CONFIG listing all faults together */
export async function readCaFile(file: string): Promise<CaFile> {
  let document: unknown;
  try {
    document = parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new CliError('ERR_CLI_CONFIG', `${file}: want the YAML file of the CA, got ${(error as Error).message}`);
  }
  const parsed = caFile.safeParse(document);
  if (!parsed.success) throw new CliError('ERR_CLI_CONFIG', `${file}: ${z.prettifyError(parsed.error)}`);
  const { hsm: _, database, ...ca } = parsed.data;
  return { database, ca };
}
