import { z } from 'zod';
import { DataEncryptionError } from './errors.js';
import { type KekHolder, tenantLabelCharacters } from './key-encryption-key.js';

const mostLabelCharacters = 64;

export const dataEncryptionConfigSchema = z
  .strictObject({
    /** The open token that holds the KEK: an `Hsm`, or whatever has its four methods. */
    hsm: z.custom<KekHolder>(
      (value) => ['encrypt', 'decrypt', 'findKey', 'generateSecretKey'].every((name) => hasMethod(value, name)),
      'want an open Hsm',
    ),
    /** Label of the AES-256 key (usage `encrypt`) on the token. */
    kekLabel: z.string().min(1).max(mostLabelCharacters),
    /** Makes the KEK when the token has none of this label. For first starts and development. */
    createKek: z.boolean().default(false),
    /**
     * A name for this database, chosen once: cells and data keys copied from another database do not decrypt here.
     * Changing it makes every cell unreadable until it is changed back.
     */
    databaseId: z.string().min(1).max(128),
    /**
     * The tenant that the work under way is for, e.g. of the request: asked at every statement about an entity of `keyScope: 'tenant'`.
     * It may be a subject, such as a patient. `TenantContext` is one way to know it.
     */
    tenant: z.custom<() => string | undefined>((value) => typeof value === 'function', 'want a function').optional(),
    /**
     * Gives each tenant a KEK of its own, which is made with the tenant's first data key: shredding destroys it and touches nobody else. Without it a
     * tenant is shredded by a new version of the shared KEK.
     */
    kekPerTenant: z.boolean().default(false),
    /**
     * Data keys in memory at a time, and as many of blind indexes: those of tenants that were unused for longest make room. A tenant has one
     * for each table, and one for each searchable column.
     */
    maxLoadedKeys: z.int().min(16).max(1_000_000).default(10_000),
    /** How long a data key is used before the HSM must decrypt it anew. */
    maxAgeSeconds: z.number().min(1).default(3_600),
    /** How long beyond that age loaded keys serve while the HSM is down. After it, reads and writes fail. */
    outageSeconds: z.number().min(0).default(14_400),
    /** Messages reserved in the data key's row at a time; what a process does not use is lost. */
    leaseMessages: z
      .int()
      .min(2 ** 16)
      .max(2 ** 20)
      .default(2 ** 16),
    /** How long a process writes with a data key before it looks whether the key has been retired. The same in every process. */
    leaseSeconds: z.number().min(0.1).max(3_600).default(60),
  })
  .refine(
    ({ kekLabel, kekPerTenant }) => !kekPerTenant || kekLabel.length + tenantLabelCharacters <= mostLabelCharacters,
    {
      error: `want at most ${mostLabelCharacters - tenantLabelCharacters} characters, since tenants have KEKs of their own`,
      path: ['kekLabel'],
    },
  );

/** What an application writes. */
export type DataEncryptionConfig = z.input<typeof dataEncryptionConfigSchema>;
/** Parsed once, complete, frozen. */
export type ParsedDataEncryptionConfig = Readonly<z.output<typeof dataEncryptionConfigSchema>>;

/**
 * Parses a configuration once, at boot.
 * @throws {DataEncryptionError} ERR_DATA_CONFIG_INVALID listing all faults together
 */
export function parseDataEncryptionConfig(config: DataEncryptionConfig): ParsedDataEncryptionConfig {
  const parsed = dataEncryptionConfigSchema.safeParse(config);
  if (parsed.success) return Object.freeze(parsed.data);
  throw new DataEncryptionError(
    'ERR_DATA_CONFIG_INVALID',
    `data encryption configuration:\n${z.prettifyError(parsed.error)}`,
  );
}

function hasMethod(value: unknown, name: string): boolean {
  return typeof value === 'object' && value !== null && typeof (value as Record<string, unknown>)[name] === 'function';
}
