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

const ceremonyFile = caFile.extend({
  ceremony: z.strictObject({
    title: z.string().min(1).max(1_000),
    /** Who is present, as they are to be written down. */
    witnesses: z.array(z.string().min(1).max(1_000)).max(64).default([]),
  }),
});

export interface CeremonyFile extends CaFile {
  readonly title: string;
  readonly witnesses: readonly string[];
}

/** A ceremony's script: a file of apps/ca with a section more. @throws {CliError} ERR_CLI_CONFIG listing all faults together */
export async function readCeremonyFile(file: string): Promise<CeremonyFile> {
  const { hsm: _, database, ceremony, ...ca } = await readSections(file, ceremonyFile);
  return { database, ca, ...ceremony };
}
