import { BlockList, isIP } from 'node:net';
import { type CaConfig, caConfigSchema, databaseConfigSchema, issuerKeyLabels } from '@nest-hsm/ca';
import { ConfigurationFaults, ConfigurationFile, hsmConfigSchema } from '@nest-hsm/hsm';
import { z } from 'zod';
import { accessConfigSchema } from './access/access-config.js';
import { ApiError } from './problem/api-error.js';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

export const configSchema = z.strictObject({
  listen: z
    .strictObject({
      /** An address; a name would be resolved to who knows what. */
      host: z.union([z.ipv4(), z.ipv6()]).default('127.0.0.1'),
      /** 0: any free one, which the log then names. */
      port: z.int().min(0).max(65_535),
      /** Plain HTTP belongs behind a TLS terminator beyond this host. */
      allowNonLoopback: z.boolean().default(false),
      /** HTTPS by itself: PEM files. Client certificates are asked for, and count only where `access` maps them. */
      tls: z.strictObject({ certificateFile: z.string().min(1), keyFile: z.string().min(1) }).optional(),
    })
    .refine(({ host, allowNonLoopback, tls }) => allowNonLoopback || tls !== undefined || isLoopback(host), {
      path: ['host'],
      message: 'want a loopback address, tls, or allowNonLoopback: true',
    }),
  hsm: z.preprocess(withSessions, hsmConfigSchema).transform((hsm) => ({
    ...hsm,
    audit: hsm.audit && { ...hsm.audit, issuerKeys: hsm.audit.issuerKeys ?? issuerKeyLabels },
  })),
  database: databaseConfigSchema,
  /** The token that makes the first API tokens; made (0600, 256 random bits) when the file is missing. */
  setupTokenFile: z.string().min(1),
  access: accessConfigSchema.prefault({}),
  /** Requests one address may make for certificates in a window. */
  rateLimit: z
    .strictObject({ requests: z.int().min(1), seconds: z.int().min(1) })
    .default({ requests: 6_000, seconds: 60 }),
  /** Certificates one requester may ask for in a window, one by one or in batches. */
  certificateLimit: z
    .strictObject({ certificates: z.int().min(1), seconds: z.int().min(1) })
    .default({ certificates: 60_000, seconds: 60 }),
  /** What one address (of IPv6 one /64) may cost by OCSP in a window: responses signed for it, and certificates there are not. */
  ocspLimit: z
    .strictObject({ signatures: z.int().min(1), seconds: z.int().min(1) })
    .default({ signatures: 1_200, seconds: 60 }),
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'),
  ...caConfigSchema.shape,
});
export type Config = Readonly<z.output<typeof configSchema>>;

const caSectionSchema = z.object(caConfigSchema.shape);

/** What of it is the CA's, whatever serves it. */
export function caSection(config: Config): CaConfig {
  return caSectionSchema.parse(config);
}

/**
 * Reads the YAML file: at boot, and for a reload.
 * @throws {ApiError} ERR_API_CONFIG listing all faults together, each with its place in the file
 */
export function readConfig(file: string): Config {
  try {
    return Object.freeze(ConfigurationFile.read(file).check(configSchema));
  } catch (cause) {
    if (!(cause instanceof ConfigurationFaults)) throw cause;
    throw new ApiError('ERR_API_CONFIG', cause.message, { cause });
  }
}

/** A signature has its session while its intent goes to the disk, so that of 16 too few would be at work. */
const sessions = 32;

const membersSchema = z.looseObject({ members: z.array(z.looseObject({})) });

/** A token of the CA's own has so many sessions, unless it is said how many. */
function withSessions(hsm: unknown): unknown {
  const { members } = membersSchema.safeParse(hsm).data ?? {};
  if (members === undefined) return hsm;
  return {
    ...(hsm as object),
    members: members.map((member) => ('socket' in member ? member : { sessions, ...member })),
  };
}

function isLoopback(host: string): boolean {
  return loopback.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4');
}
