import {
  hsmConfigSchema,
  type ParsedHsmConfig,
  parseHsmConfig,
  type ParsedProvisioningConfig,
  provisioningConfigSchema,
} from '@nest-hsm/hsm';
import { z } from 'zod';
import { readSections } from '../config.js';

const provisioningFile = z.looseObject({
  hsm: hsmConfigSchema,
  provisioning: provisioningConfigSchema.prefault({}),
});

/** A fleet, and how its tokens are made and their PINs changed. */
export interface ProvisioningFile {
  readonly hsm: ParsedHsmConfig;
  readonly provisioning: ParsedProvisioningConfig;
}

/**
 * The sections `hsm` and `provisioning` of a YAML file.
 * @throws {CliError} ERR_CLI_CONFIG listing all faults together
 */
export async function readProvisioningFile(file: string): Promise<ProvisioningFile> {
  const { hsm, provisioning } = await readSections(file, provisioningFile);
  return { hsm: parseHsmConfig({ ...hsm, client: 'nest-hsm' }), provisioning };
}
