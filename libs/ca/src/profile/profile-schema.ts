import { z } from 'zod';
import { attributeNames, attributeValueSchemas } from '../name/distinguished-name.js';
import { nameKinds } from '../name/general-name.js';
import { nameConstraintsSchema } from './name-constraints-schema.js';
import { keyUsageBits, type KeyUsageBit, subjectKeyKinds } from './key-usage.js';
import { placeSchema } from './place-schema.js';
import { oidSchema, purposeSchema } from './purpose.js';

const validityDays = z.int().min(1).max(36_500);
const httpUrls = z.array(placeSchema(/^http$/)).max(4);

const subjectRules = z.strictObject(
  Object.fromEntries(
    attributeNames.map((name) => [
      name,
      z
        .union([
          z.enum(name === 'commonName' ? ['optional', 'required', 'name'] : ['optional', 'required']),
          z.strictObject({ value: attributeValueSchemas[name] }),
        ])
        .optional(),
    ]),
  ),
);

/** One profile as it is written: what it does not say comes from what it extends, else from the defaults. */
export const profileInputSchema = z.strictObject({
  /** A built-in profile, or another one beside it. A profile with the name of a built-in one extends that. */
  extends: z.string().optional(),
  validityDays: validityDays.optional(),
  /** Instead of days. */
  validityHours: z.int().min(1).max(8_760).optional(),
  backdateSeconds: z.int().min(0).max(86_400).optional(),
  subject: subjectRules.optional(),
  subjectAltName: z
    .strictObject({
      allowed: z.array(z.enum(nameKinds)).optional(),
      required: z.array(z.enum([...nameKinds, 'any'])).optional(),
      /** `kind:name`, where `{commonName}` and the like stand for attributes of the subject. */
      add: z
        .array(z.string().regex(/^(?:dns|ip|email|uri):.+$/, 'want dns:, ip:, email: or uri: and a name'))
        .max(10)
        .optional(),
    })
    .optional(),
  keys: z.array(z.enum(subjectKeyKinds)).min(1).optional(),
  minimumRsaBits: z.int().min(2048).max(8192).optional(),
  keyUsage: z
    .array(z.enum(Object.keys(keyUsageBits) as [KeyUsageBit]))
    .min(1)
    .optional(),
  extendedKeyUsage: z.array(purposeSchema).optional(),
  /** A CA certificate. */
  authority: z
    .strictObject({
      pathLength: z.int().min(0).max(10).optional(),
      nameConstraints: nameConstraintsSchema.optional(),
    })
    .optional(),
  policies: z
    .array(
      z.strictObject({
        oid: oidSchema,
        cps: placeSchema(/^https?$/).optional(),
      }),
    )
    .max(10)
    .optional(),
  caIssuers: httpUrls.optional(),
  ocsp: httpUrls.optional(),
  crl: httpUrls.optional(),
  noRevocation: z.boolean().optional(),
  ocspNoCheck: z.boolean().optional(),
  mustStaple: z.boolean().optional(),
  publicStyle: z.boolean().optional(),
  approval: z.boolean().optional(),
});
export type ProfileInput = z.input<typeof profileInputSchema>;

/** Profiles by name. */
export const profilesSchema = z.record(
  z.string().regex(/^[a-z][a-z0-9-]{0,47}$/, 'want a name of at most 48 lower-case letters, digits and hyphens'),
  profileInputSchema,
);
export type ProfilesInput = z.input<typeof profilesSchema>;
