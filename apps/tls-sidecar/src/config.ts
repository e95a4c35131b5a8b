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
import { SidecarError } from './faults.js';

const address = z.strictObject({
  host: z.string().min(1).default('127.0.0.1'),
  /** 0: any free one, which the log then names. */
  port: z.int().min(0).max(65_535),
});
const { upstream, ...proxyLimits } = l4ProxyConfigSchema.shape;

export const configSchema = z.strictObject({
  /** Where clients connect with TLS. */
  listen: address,
  /** The token that holds the private key. */
  hsm: hsmConfigSchema,
  /** Where the plaintext goes. */
  upstream,
  certificate: z
    .strictObject({ ca: caCredentialConfigSchema.optional(), file: fileCredentialConfigSchema.optional() })
    .refine(({ ca, file }) => (ca === undefined) !== (file === undefined), {
      message: 'want one of ca and file',
    }),
  tls: terminatorConfigSchema.prefault({}),
  proxy: z.strictObject(proxyLimits).prefault({}),
  /** /health and /metrics, in plain HTTP. */
  admin: address,
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'),
});
export type Config = Readonly<z.output<typeof configSchema>>;

/**
 * Reads the YAML file: at boot, and for a reload.
 * @throws {SidecarError} ERR_SIDECAR_CONFIG listing all faults together
 */
export function readConfig(file: string): Config {
  let document: unknown;
  try {
    document = parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    const message = `${file}: want a readable YAML file, got ${firstLine(cause)}`;
    throw new SidecarError('ERR_SIDECAR_CONFIG', message, { cause });
  }
  const parsed = configSchema.safeParse(document);
  if (!parsed.success) throw new SidecarError('ERR_SIDECAR_CONFIG', `${file}:\n${z.prettifyError(parsed.error)}`);
  return Object.freeze(parsed.data);
}

/** The YAML parser quotes the faulty line, which may hold a secret. */
function firstLine(error: unknown): string {
  return (error as Error).message.split('\n', 1)[0];
}
