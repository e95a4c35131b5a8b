import { readFileSync } from 'node:fs';
import { hsmConfigSchema } from '@nest-hsm/hsm';
import {
  caCredentialConfigSchema,
  fileCredentialConfigSchema,
  l4ProxyConfigSchema,
  terminatorConfigSchema,
} from '@nest-hsm/tls-offload';
import { parse } from 'yaml';
import { z } from 'zod';
import { SidecarError } from './sidecar-error.js';

const address = z.union([z.ipv4(), z.ipv6()]);
/** 0: any free one, which the log then names. */
const port = z.int().min(0).max(65_535);

export const configSchema = z.strictObject({
  /** Where TLS clients connect. */
  listen: z.strictObject({ host: address.default('127.0.0.1'), port }),
  hsm: hsmConfigSchema,
  ...l4ProxyConfigSchema.shape,
  /** Where the certificate comes from. Its key is on the token in any case. */
  certificate: z
    .union([z.strictObject({ ca: caCredentialConfigSchema }), z.strictObject({ file: fileCredentialConfigSchema })])
    .describe('want one of { ca }, { file }'),
  tls: terminatorConfigSchema.prefault({}),
  /** Plain HTTP for /health and /metrics. */
  admin: z.strictObject({ host: address.default('127.0.0.1'), port }),
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'),
});
export type Config = Readonly<z.output<typeof configSchema>>;

/**
 * Reads the YAML file once, at boot.
 * @throws {SidecarError} ERR_SIDECAR_CONFIG listing all faults together
 */
export function readConfig(file: string): Config {
  let document: unknown;
  try {
    document = parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    const got = (cause as Error).message;
    throw new SidecarError('ERR_SIDECAR_CONFIG', `${file}: want a readable YAML file, got ${got}`, { cause });
  }
  const parsed = configSchema.safeParse(document);
  if (!parsed.success) throw new SidecarError('ERR_SIDECAR_CONFIG', `${file}:\n${z.prettifyError(parsed.error)}`);
  return Object.freeze(parsed.data);
}
