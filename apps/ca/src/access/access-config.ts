import { isIP } from 'node:net';
import { scopes } from '@nest-hsm/ca';
import { z } from 'zod';

const name = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'want 1 to 64 of a-z, 0-9, ".", "_" and "-"');

/** What a credential lets its holder do. */
const grantShape = {
  scopes: z.array(z.enum(scopes)).min(1),
  /** Profiles it may ask for; absent: any. */
  profiles: z.array(z.string().min(1).max(64)).min(1).optional(),
};

const certificate = z.union([
  z.strictObject({
    /** SHA-256 of its DER in hexadecimal, with or without colons: this very certificate. */
    sha256: z
      .string()
      .transform((text) => text.replaceAll(':', '').toUpperCase())
      .refine((text) => /^[0-9A-F]{64}$/.test(text), 'want 64 hexadecimal digits'),
  }),
  z
    .strictObject({
      /** PEM of the CA that signed it, which must not be this one. */
      issuerFile: z.string().min(1),
      /** Its complete CRL, PEM or DER; looked at every 5 seconds. Without one in force none of its certificates counts. */
      crlFile: z.string().min(1).optional(),
      /** The whole subject, one attribute each as in `CN=build`, in the certificate's order. */
      subject: z.array(z.string().regex(/^\w+=/, 'want TYPE=value')).min(1).optional(),
      /** Or a name of its SubjectAltName: `dns:…`, `uri:…`, `email:…`, `ip:…`. */
      name: z
        .string()
        .regex(/^(dns|uri|email|ip):./, 'want dns:, uri:, email: or ip: and a name')
        .optional(),
    })
    .refine(
      ({ subject, name: san }) => (subject === undefined) !== (san === undefined),
      'want exactly one of subject, name',
    ),
]);

const client = z
  .strictObject({
    /** The requester is `client:NAME`. */
    name,
    /** A file with its bearer token; made (0600, 256 random bits) when it is missing. */
    tokenFile: z.string().min(1).optional(),
    certificate: certificate.optional(),
    ...grantShape,
  })
  .refine(({ tokenFile, certificate: own }) => (tokenFile ?? own) !== undefined, 'want a tokenFile or a certificate');
export type ClientConfig = Readonly<z.output<typeof client>>;

const grant = z.strictObject({
  /** A claim by its name, or by the names on the way to it. */
  claim: z.union([
    z
      .string()
      .min(1)
      .transform((text) => [text]),
    z.array(z.string().min(1)).min(1),
  ]),
  /** What the claim says, or one of the things it says. */
  value: z.string().min(1),
  ...grantShape,
});
export type OidcGrant = Readonly<z.output<typeof grant>>;

const url = z.url({ protocol: /^https?$/ });
/** RFC 8725 §3.1, §3.2: asymmetric algorithms alone, so that no public key is ever taken for a secret. */
const jwtAlgorithms = [
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'PS384',
  'PS512',
  'RS256',
  'RS384',
  'RS512',
  'EdDSA',
] as const;
const oidc = z.strictObject({
  /** The requester is `oidc:NAME:SUBJECT`. */
  name,
  /** As `iss` says it. */
  issuer: url,
  /** As `aud` must say it. */
  audience: z.string().min(1),
  /** Where its keys are; https, or http on this host. */
  jwksUri: url.refine(
    (text) => text.startsWith('https:') || /^http:\/\/(127\.|localhost[:/]|\[::1\])/.test(text),
    'want https, or http on this host',
  ),
  algorithms: z.array(z.enum(jwtAlgorithms)).min(1).default(['ES256', 'RS256']),
  clockToleranceSeconds: z.int().min(0).max(300).default(30),
  /** The claim that names the requester: one that its holder cannot change. */
  requesterClaim: z.string().min(1).default('sub'),
  /** What claims let their holder do; nothing is given without. */
  grants: z.array(grant).min(1),
});
export type OidcConfig = Readonly<z.output<typeof oidc>>;

const addressOrRange = z.string().refine((text) => {
  const [address, prefix, ...rest] = text.split('/');
  const widest = isIP(address) === 6 ? 128 : 32;
  const isPrefix = prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= widest);
  return isIP(address) !== 0 && isPrefix && rest.length === 0;
}, 'want an address, or a range in CIDR notation');

/** Who may use the API besides the holders of API tokens. */
export const accessConfigSchema = z.strictObject({
  clients: unique(z.array(client).max(1_000)).default([]),
  oidc: unique(z.array(oidc).max(16))
    .refine((all) => new Set(all.map(({ issuer }) => issuer)).size === all.length, 'want each issuer once')
    .default([]),
  /** TLS terminators whose Client-Cert header (RFC 9440) is believed: whoever can connect from there can be any client. */
  terminators: z.array(addressOrRange).max(64).default([]),
});

function unique<Entry extends { readonly name: string }>(list: z.ZodType<Entry[]>): z.ZodType<Entry[]> {
  return list.refine(
    (entries) => new Set(entries.map((entry) => entry.name)).size === entries.length,
    'want each name once',
  );
}
