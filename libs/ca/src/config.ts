import { z } from 'zod';
import { authorityConfigSchema, days } from './authority/authority-config.js';
import { CaError } from './errors.js';
import { normalizeDnsName } from './name/dns-name.js';
import { accepted } from './profile/name-constraints-schema.js';
import { defaultValidityDays } from './profile/profile.js';
import { parseIpRange } from './request/name-policy.js';

const dnsEntry = accepted(normalizeDnsName);
const ipEntry = accepted(parseIpRange);
const nameLists = z.strictObject({ dns: z.array(dnsEntry).default([]), ip: z.array(ipEntry).default([]) });

/** What the CA is and what it may issue. */
export const caConfigSchema = z.strictObject({
  authority: authorityConfigSchema,
  /** Names that may be certified; see `AllowedNames`. */
  allowedNames: nameLists.default({ dns: [], ip: [] }),
  /**
   * Where relying parties reach this CA, written into certificates. Plain http, since checking a certificate must not
   * need one (RFC 5280 §8).
   */
  publicUrl: z
    .url({ protocol: /^http$/ })
    .max(512)
    .transform((url) => url.replace(/\/+$/, ''))
    .optional(),
  profiles: z
    .strictObject({
      'tls-server': z.strictObject({ validityDays: days }).default({ validityDays: defaultValidityDays }),
      'tls-client': z.strictObject({ validityDays: days }).default({ validityDays: defaultValidityDays }),
    })
    .prefault({}),
  /** A new CRL is made when half of this has passed. */
  crl: z.strictObject({ validityHours: z.int().min(1).max(8_760).default(168) }).prefault({}),
  /** How long a prepared certificate may wait to be signed. */
  ticketSeconds: z.int().min(1).max(3_600).default(30),
});

/** What an application writes. */
export type CaConfig = z.input<typeof caConfigSchema>;
/** What the CA works with: parsed once, complete. */
export type ParsedCaConfig = Readonly<z.output<typeof caConfigSchema>>;

/**
 * Parses a configuration once, at boot.
 * @throws {CaError} ERR_CA_CONFIG_INVALID listing all faults together
 */
export function parseCaConfig(config: CaConfig): ParsedCaConfig {
  const parsed = caConfigSchema.safeParse(config);
  if (parsed.success) return Object.freeze(parsed.data);
  throw new CaError('ERR_CA_CONFIG_INVALID', `CA configuration:\n${z.prettifyError(parsed.error)}`);
}
