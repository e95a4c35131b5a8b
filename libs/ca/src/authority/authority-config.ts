import { z } from 'zod';
import { oids } from '../der/oid.js';
import { caKeyAlgorithms } from '../issuance/signature-algorithm.js';
import { type DistinguishedName, distinguishedNameSchema } from '../name/distinguished-name.js';
import { foldedName } from '../name/folded-name.js';
import { isResponderLabel } from '../ocsp/responder-label.js';
import { nameConstraintsSchema } from '../profile/name-constraints-schema.js';
import { purposeOid, purposeSchema } from '../profile/purpose.js';

export const days = z.int().min(1).max(36_500);

const caKey = {
  /** Label of the key on the token; its second generation is called `LABEL-2`. */
  label: z
    .string()
    .min(1)
    .max(56)
    .refine((label) => !isResponderLabel(label), 'want another end than that of the labels of OCSP responders, -ocsp'),
  subject: distinguishedNameSchema,
  algorithm: z.enum(caKeyAlgorithms).default('ec-p384'),
};

/** As OIDs. A responder of its own a CA certifies whatever it is for. */
const caPurposes = z
  .array(purposeSchema)
  .min(1)
  .max(16)
  .transform((all) => all.map(purposeOid))
  .refine((all) => new Set(all).size === all.length, 'want every purpose once')
  .refine(
    (all) => !all.includes(oids.anyExtendedKeyUsage) && !all.includes(oids.ocspSigning),
    'want neither anyExtendedKeyUsage nor ocspSigning',
  );

const certifiedCa = {
  ...caKey,
  validityDays: days.default(1825),
  /** The name of the CA that certifies it: `root`, or one of `intermediates`. */
  parent: z.string().default('root'),
  /** Written into its certificate and enforced here as well (RFC 5280 §4.2.1.10). */
  nameConstraints: nameConstraintsSchema.optional(),
  /**
   * What certificates below it are for: written into its certificate, where relying parties hold what is below against it, and enforced
   * here as well (CABF BR §7.1.2.10.6). Absent: for anything.
   */
  extendedKeyUsage: caPurposes.optional(),
};

const issuingCa = {
  ...certifiedCa,
  /** How many CAs may follow below it, for profiles of CAs; 0: it issues to end entities alone. */
  pathLength: z.int().min(0).max(7).default(0),
};

/** SHA-256 of a certificate, with or without colons; kept as 64 lower-case hexadecimal digits. */
const fingerprint = z
  .string()
  .transform((text) => text.replaceAll(':', '').toLowerCase())
  .refine((text) => /^[0-9a-f]{64}$/.test(text), 'want a SHA-256 of 64 hexadecimal digits');

const ownRoot = z.strictObject({
  ...caKey,
  external: z.literal(false).default(false),
  validityDays: days.default(3650),
  /** Pins the root's certificate, which otherwise is whichever the database has for the root's key or name. */
  sha256: fingerprint.optional(),
});
/** Somebody else's root: what is directly below it is certified by CSR and import. */
const externalRoot = z.strictObject({ external: z.literal(true), sha256: fingerprint });

const name = z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'want a name of at most 32 of a-z, 0-9 and -');

/** The CAs there are, who certifies whom, and which profiles each one issues. */
export const authorityConfigSchema = z
  .strictObject({
    root: z.discriminatedUnion('external', [ownRoot, externalRoot]),
    /** CAs that certify CAs only, by name. */
    intermediates: z.record(name, z.strictObject(certifiedCa)).default({}),
    /** The issuer named `issuing`: of every profile that no other issuer has. */
    issuing: z.strictObject(issuingCa),
    /** Further issuers, by name. */
    issuers: z.record(name, z.strictObject({ ...issuingCa, profiles: z.array(z.string().min(1)).min(1) })).default({}),
    /** Key identifiers of issuers that are given up though certificates of theirs have not expired: those have neither CRL nor OCSP. */
    abandoned: z
      .array(z.string().regex(/^[0-9a-f]{40}$/, 'want a key identifier of 40 hexadecimal digits'))
      .max(64)
      .default([]),
    /** Make keys and certificates that do not exist yet when the CA opens. */
    initialize: z.boolean().default(false),
  })
  .superRefine((authority, context) => {
    for (const message of faultsAmong(authority)) context.addIssue({ code: 'custom', message });
  });

export type AuthorityConfig = z.output<typeof authorityConfigSchema>;

interface Certified {
  readonly label: string;
  readonly subject: DistinguishedName;
  readonly parent: string;
}
interface Cas {
  readonly root: { readonly external: boolean; readonly label?: string; readonly subject?: DistinguishedName };
  readonly intermediates: Readonly<Record<string, Certified>>;
  readonly issuing: Certified;
  readonly issuers: Readonly<Record<string, Certified & { readonly profiles: readonly string[] }>>;
}

/** What is wrong between CAs that are each well-formed. */
function faultsAmong({ root, intermediates, issuing, issuers }: Cas): string[] {
  const certified = [...Object.entries(intermediates), ['issuing', issuing] as const, ...Object.entries(issuers)];
  const names = certified.map(([each]) => each);
  const faults: string[] = [];
  if (names.includes('root') || new Set(names).size < names.length)
    faults.push('intermediates and issuers want names of their own, other than root and issuing');
  const labels = [...(root.label === undefined ? [] : [root.label]), ...certified.map(([, { label }]) => label)];
  // The second generation of `x` has the label `x-2`.
  const isTaken = (label: string, index: number): boolean =>
    labels.some((other, at) => at !== index && (other === label || label.replace(/-\d+$/, '') === other));
  if (labels.some(isTaken))
    faults.push("root, intermediates and issuers want different labels, none of another one's generation");
  const subjects = [root, ...certified.map(([, ca]) => ca)].flatMap(({ subject }) => subject ?? []).map(foldedName);
  if (new Set(subjects).size < subjects.length)
    faults.push('root, intermediates and issuers want different subjects (RFC 5280 §4.1.2.6)');
  for (const [each, { parent }] of certified) {
    if (parent !== 'root' && !Object.hasOwn(intermediates, parent))
      faults.push(`${each}: want root or an intermediate as its parent, got ${parent}`);
    else if (isCircular(each, intermediates)) faults.push(`${each}: want a parent that is not below it`);
  }
  const profiles = Object.values(issuers).flatMap((issuer) => issuer.profiles);
  if (new Set(profiles).size < profiles.length) faults.push('issuers: want each profile at one issuer');
  return faults;
}

function isCircular(name: string, intermediates: Cas['intermediates']): boolean {
  const seen = new Set<string>();
  for (let at = name; Object.hasOwn(intermediates, at); at = intermediates[at].parent) {
    if (seen.has(at)) return true;
    seen.add(at);
  }
  return false;
}
