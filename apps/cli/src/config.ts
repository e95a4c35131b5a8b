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
  let document: unknown;
  try {
    document = parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new CliError(
      'ERR_CLI_CONFIG',
      `${file}: want a YAML file with an "hsm" section, got ${(error as Error).message}`,
    );
  }
  const parsed = anyApplication.safeParse(document);
  if (!parsed.success) throw new CliError('ERR_CLI_CONFIG', `${file}: ${z.prettifyError(parsed.error)}`);
  return { ...parsed.data.hsm, client: 'nest-hsm' };
}
