import { z } from 'zod';
import { CaError } from './errors.js';
import { caKeyAlgorithms } from './issuance/signature-algorithm.js';
import { distinguishedNameSchema } from './name/distinguished-name.js';
import { normalizeDnsName } from './name/dns-name.js';
import { defaultValidityDays } from './profile/profile.js';
import { parseIpRange } from './request/name-policy.js';

/** A string some parser of ours accepts; its message becomes the fault of this field. */
const accepted = (parse: (text: string) => unknown) =>
  z.string().superRefine((text, context) => {
    try {
      parse(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
    }
  });
const dnsEntry = accepted(normalizeDnsName);
const ipEntry = accepted(parseIpRange);
/** A constraint covers what is below it anyway, so it has no wildcard. */
const dnsSubtree = dnsEntry.refine((text) => !text.startsWith('*.'), 'want a name without *');

const nameLists = z.strictObject({ dns: z.array(dnsEntry).default([]), ip: z.array(ipEntry).default([]) });
const subtrees = z.strictObject({ dns: z.array(dnsSubtree).default([]), ip: z.array(ipEntry).default([]) });
const days = z.int().min(1).max(36_500);

const caKey = {
  /** Label of the key on the token. */
  label: z.string().min(1).max(64),
  subject: distinguishedNameSchema,
  algorithm: z.enum(caKeyAlgorithms).default('ec-p384'),
};

/** What the CA is and what it may issue. */
export const caConfigSchema = z.strictObject({
  authority: z
    .strictObject({
      root: z.strictObject({ ...caKey, validityDays: days.default(3650) }),
      issuing: z.strictObject({
        ...caKey,
        validityDays: days.default(1825),
        /** Written into the issuing certificate and enforced here as well (RFC 5280 §4.2.1.10). */
        nameConstraints: z
          .strictObject({
            permitted: subtrees.default({ dns: [], ip: [] }),
            excluded: subtrees.default({ dns: [], ip: [] }),
          })
          .refine(
            ({ permitted, excluded }) => [permitted, excluded].some(({ dns, ip }) => dns.length + ip.length > 0),
            'want at least one subtree',
          )
          .optional(),
      }),
      /** Make keys and certificates that do not exist yet when the CA opens. */
      initialize: z.boolean().default(false),
    })
    .refine(({ root, issuing }) => root.label !== issuing.label, 'root and issuing want different labels'),
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
