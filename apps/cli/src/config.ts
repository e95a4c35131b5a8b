import { readFile } from 'node:fs/promises';
import { type HsmConfig, hsmConfigSchema } from '@nest-hsm/hsm';
import { parse } from 'yaml';
import { z } from 'zod';
import { CliError } from './faults.js';

/** The command line needs one section of an application's file, and must not know the rest of it. */
const anyApplication = z.looseObject({ hsm: hsmConfigSchema });

/**
 * The `hsm` section of any application's YAML file. Audit lines name `nest-hsm` as the client, whoever the file is for.
 * @throws {CliError} ERR_CLI_CONFIG listing all faults together
 */
export async function readHsmConfig(file: string): Promise<HsmConfig> {
  return { ...(await readSections(file, anyApplication)).hsm, client: 'nest-hsm' };
}

/**
 * The sections of a YAML file that a schema names.
 * @throws {CliError} ERR_CLI_CONFIG listing all faults together
 */
export async function readSections<Sections>(file: string, schema: z.ZodType<Sections>): Promise<Sections> {
  let document: unknown;
  try {
    document = parse(await readFile(file, 'utf8'));
  } catch (error) {
    // Its first line: the parser quotes the faulty one after it, which may hold a password.
    const [reason] = (error as Error).message.split('\n', 1);
    throw new CliError('ERR_CLI_CONFIG', `${file}: want a YAML file of an application, got ${reason}`);
  }
  const parsed = schema.safeParse(document);
  if (!parsed.success) throw new CliError('ERR_CLI_CONFIG', `${file}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
