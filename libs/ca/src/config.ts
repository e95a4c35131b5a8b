import { z } from 'zod';
import { authorityConfigSchema, days } from './authority/authority-config.js';
import { CaError } from './errors.js';
import { webhookConfigSchema } from './jobs/webhook.js';
import { placeSchema } from './profile/place-schema.js';
import { soundProfilesSchema } from './profile/profiles.js';
import { nameRuleSchema } from './request/name-rule.js';

/** What the CA is and what it may issue. */
export const caConfigSchema = z.strictObject({
  authority: authorityConfigSchema,
  /** Names that every requester may have. What neither this nor one of `nameRules` allows is refused. */
  allowedNames: nameRuleSchema.omit({ requesters: true }).optional(),
  /** Who may have which names under which profiles. */
  nameRules: z.array(nameRuleSchema).default([]),
  /**
   * Where relying parties reach this CA, written into certificates. Plain http, since checking a certificate must not
   * need one (RFC 5280 §8).
   */
  publicUrl: placeSchema(/^http$/)
    .transform((url) => url.replace(/\/+$/, ''))
    .optional(),
  /** What may be issued (docs/PROFILES.md); `tls-server` and `tls-client` when neither this nor `profileFile` is given. */
  profiles: soundProfilesSchema.optional(),
  /** Path of a YAML file with the profiles, instead of `profiles`. */
  profileFile: z.string().min(1).optional(),
  crl: z
    .strictObject({
      /** A new CRL is made when half of this has passed. */
      validityHours: z.int().min(1).max(8_760).default(168),
      /** The same of the root and of intermediates, whose keys are seldom at hand (CABF BR §7.2 allows a year). */
      caValidityHours: z.int().min(1).max(8_760).default(2_160),
      /** Delta CRLs of this validity, made as soon as a status changes; full ones are then made on schedule alone. */
      deltaHours: z.int().min(1).max(720).optional(),
      /** CRLs that new certificates are spread over, besides the complete one; which one is fixed in the certificate. */
      shards: z.int().min(1).max(128).default(1),
      /** Least time between two CRLs that are made because a status changed. */
      spacingSeconds: z.int().min(0).max(86_400).default(10),
    })
    .refine(({ validityHours, deltaHours = 0 }) => deltaHours < validityHours, {
      path: ['deltaHours'],
      message: 'want less than validityHours',
    })
    .prefault({}),
  orders: z
    .strictObject({
      /** Certificates worked on at once: enough that token, disk and processors each have some, and no more than a slow token signs in 5 s. */
      concurrent: z.int().min(1).max(4_096).default(192),
      /** How many more may wait for their turn; what comes then is refused (ERR_CA_OVERLOADED). */
      waiting: z.int().min(0).max(100_000).default(1_024),
      /** How long an order waits for approval. */
      approvalHours: z.int().min(1).max(8_760).default(168),
    })
    .prefault({}),
  /** Notices that certificates expire: a metric, and a webhook if there is one. */
  expiry: z
    .strictObject({
      /** How many days before. */
      noticeDays: z.array(days).min(1).max(8).default([30, 7, 1]),
      webhook: webhookConfigSchema.optional(),
    })
    .prefault({}),
  /** OCSP, off when absent. Each issuer gets a responder key of its own on the token. */
  ocsp: z
    .strictObject({
      /** Of a response; a new one is signed when half of this has passed (CABF BR §4.9.10 allows 8 hours to 10 days). */
      validityHours: z.int().min(8).max(240).default(96),
      /** Of the responder's certificate, renewed when half of this has passed. */
      responderDays: z.int().min(2).max(90).default(14),
      /**
       * Which certificates have a response signed before anybody asks: `all` that live longer than a response, or those that were
       * `asked` for once. Either way it is signed anew when half of its time has passed.
       */
      presign: z.enum(['all', 'asked']).default('all'),
      /** Responses that are signed ahead in a second at most, so that issuance has the HSM. */
      presignPerSecond: z.int().min(1).max(10_000).default(50),
    })
    .refine(({ validityHours, responderDays }) => validityHours <= responderDays * 12, {
      path: ['validityHours'],
      message: 'want at most half of responderDays',
    })
    .optional(),
  /** Label of the HMAC key on the token that tells what this CA decided from what others wrote into the database; made when it is missing. */
  sealKeyLabel: z.string().min(1).max(64).default('ca-seal'),
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
