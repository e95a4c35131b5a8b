import { z } from 'zod';
import { HsmError } from '../errors.js';

const pinCommand = z.strictObject({ command: z.array(z.string().min(1)).min(1) }).readonly();

const securityOfficerPin = z.union(
  [
    z
      .strictObject({
        /** Only its owner may read it (mode 0600 or 0400); read by the provisioning agent itself. */
        file: z.string().min(1),
        /** Make it with a random PIN when it is not there. */
        generate: z.boolean().default(false),
      })
      .readonly(),
    pinCommand,
  ],
  'want { file } with generate or without, or { command }',
);

const memberTerms = z
  .strictObject({
    soPin: securityOfficerPin.optional(),
    /** Of the token to initialise, where a device shows several, or one that has another label now. */
    serial: z.string().min(1).max(16).optional(),
    /** What the token will be called when the member is chosen by its serial; the member's name when absent. */
    label: z.string().min(1).max(32).optional(),
  })
  .readonly();

/** How the tokens of a fleet are made: the section `provisioning` beside `hsm`. It holds no secret. */
export const provisioningConfigSchema = z.strictObject({
  /** The security officer's PIN of every member that names none of its own. */
  soPin: securityOfficerPin.optional(),
  /** Whether the members' PIN files are made, with random PINs, when they are not there. */
  userPin: z.strictObject({ generate: z.boolean() }).default({ generate: false }).readonly(),
  /** What is different for one member, by its name. */
  members: z.record(z.string(), memberTerms).default({}).readonly(),
});
/** What an operator writes. */
export type ProvisioningConfig = z.input<typeof provisioningConfigSchema>;
export type ParsedProvisioningConfig = Readonly<z.output<typeof provisioningConfigSchema>>;
export type SecurityOfficerPin = z.output<typeof securityOfficerPin>;

/** @throws {HsmError} ERR_HSM_CONFIG_INVALID listing all faults together */
export function parseProvisioningConfig(config: ProvisioningConfig): ParsedProvisioningConfig {
  const parsed = provisioningConfigSchema.safeParse(config);
  if (parsed.success) return parsed.data;
  throw new HsmError('ERR_HSM_CONFIG_INVALID', `provisioning:\n${z.prettifyError(parsed.error)}`);
}
