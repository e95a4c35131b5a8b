import { readFileSync } from 'node:fs';
import { hsmConfigSchema } from '@nest-hsm/hsm';
import { parse } from 'yaml';
import { z } from 'zod';
import { ServiceError } from './problem/service-error.js';

const addressSchema = z.strictObject({
  /** Plain HTTP: beyond this host it belongs behind a TLS terminator. */
  host: z.union([z.ipv4(), z.ipv6()]).default('127.0.0.1'),
  /** 0: any free one, which the log then names. */
  port: z.int().min(0).max(65_535),
});
export type Address = Readonly<z.output<typeof addressSchema>>;

export const configSchema = z.strictObject({
  listen: addressSchema,
  /** Where /health, /metrics and /docs are, and only there; absent: where clients are. */
  admin: addressSchema.optional(),
  hsm: hsmConfigSchema,
  /** The key on the token that wraps the data keys. */
  kekLabel: z.string().min(1).max(64),
  /** Makes the KEK when the token has none of that label. */
  createKek: z.boolean().default(false),
  database: z.discriminatedUnion('type', [
    z.strictObject({ type: z.literal('better-sqlite3'), database: z.string().min(1) }),
    z
      .strictObject({
        type: z.literal('postgres'),
        url: z.string().min(1).optional(),
        /** A file that holds the URL, so that its password is in no configuration. */
        urlFile: z.string().min(1).optional(),
      })
      .refine(
        ({ url, urlFile }) => (url === undefined) !== (urlFile === undefined),
        'want exactly one of url, urlFile',
      ),
  ]),
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'),
});
export type Config = Readonly<z.output<typeof configSchema>>;

/**
 * Reads the YAML file: at boot, and for a reload.
 * @throws {ServiceError} ERR_RECORDS_CONFIG listing all faults together
 */
export function readConfig(file: string): Config {
  let document: unknown;
  try {
    document = parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    const message = `${file}: want a readable YAML file, got ${firstLine(cause)}`;
    throw new ServiceError('ERR_RECORDS_CONFIG', message, { cause });
  }
  const parsed = configSchema.safeParse(document);
  if (!parsed.success) throw new ServiceError('ERR_RECORDS_CONFIG', `${file}:\n${z.prettifyError(parsed.error)}`);
  return Object.freeze(parsed.data);
}

/** The YAML parser quotes the faulty line, which may hold a secret. */
function firstLine(error: unknown): string {
  return (error as Error).message.split('\n', 1)[0];
}
