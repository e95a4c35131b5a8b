import { attributeNames } from '../name/distinguished-name.js';
import { isOnPublicHost } from '../name/reserved-names.js';
import { keyUsageFor } from './key-usage.js';
import type { ProfileContent } from './profile.js';
import {
  isForumPolicy,
  maximumPublicValidityDays,
  type PublicKind,
  publicKindOf,
  type PublicPolicy,
  publicPolicyOf,
} from './public-style.js';

/** A profile says that it is as of the day the shortest limit in force came into force; what is issued later is shortened. */
const limitsAsOf = new Date('2026-03-15T00:00:00Z');

/** What a profile that is public-style wants and does not have: the Baseline Requirements for its purpose, each with its section. */
export function publicFaultsOf(profile: ProfileContent): string[] {
  const policies = profile.policies.map(({ oid }) => oid);
  if (!profile.publicStyle)
    return profile.authority === undefined && policies.some(isForumPolicy)
      ? ['want no policy of the CA/Browser Forum without publicStyle, since it says that its requirements are kept']
      : [];
  const kind = publicKindOf(profile.extendedKeyUsage);
  if (kind === undefined || profile.authority !== undefined)
    return ['want an end entity for serverAuth, codeSigning or emailProtection: the Forum has requirements for those'];
  const policy = publicPolicyOf(kind, policies);
  const wanted = kind.policies.map(({ oid }) => oid).join(' or ');
  return [
    ...faultsByKind(profile, kind),
    ...(policy === undefined
      ? [`want one policy of the CA/Browser Forum, ${wanted} (CABF BR §7.1.6.1)`]
      : faultsByPolicy(profile, kind, policy)),
  ];
}

function faultsByKind(profile: ProfileContent, kind: PublicKind): string[] {
  const days = maximumPublicValidityDays(kind, limitsAsOf);
  const unfit = profile.keys.filter((key) => !kind.keys.includes(key));
  const faults: [isKept: boolean, want: string][] = [
    [unfit.length === 0, `want no ${unfit.map(nameOfKey).join(', ')} (CABF BR §7.1.3.1)`],
    [profile.minimumRsaBits >= kind.minimumRsaBits, `want RSA from ${kind.minimumRsaBits} bits (CABF CS BR §6.1.5)`],
    [areBitsOf(profile, kind), `want a key usage of ${kind.keyUsage.join(', ')}, with digitalSignature for each key (CABF BR §7.1.2.7.11)`],
    [areNamesOf(profile, kind), `want ${kind.names.length === 0 ? 'no names' : `names of the kinds ${kind.names.join(', ')} alone, at least one`} (CABF BR §7.1.2.7.12)`],
    [isNameListed(profile, kind), 'want a commonName that is one of the names, or none (CABF BR §7.1.4.3)'],
    [profile.validitySeconds <= days * 86_400, `want a validity of at most ${days} days (CABF BR §6.3.2)`],
    [!profile.noRevocation, 'want a place to ask for the status, so no noRevocation (CABF BR §7.1.2.11.2)'],
    [!kind.namesCrl || profile.crl?.length !== 0, 'want a CRL (CABF SMIME BR and CS BR §7.1.2.3)'],
    [profile.caIssuers?.length !== 0, "want the place of the issuer's certificate (CABF BR §7.1.2.7.7)"],
    [profile.policies.every(({ cps }) => cps === undefined || isOnPublicHost(cps)), 'want a practice statement on a host of the public DNS (CABF BR §7.1.2.7.9)'],
    [profile.backdateSeconds <= 48 * 3600, 'want at most 48 hours of backdating (CABF BR §7.1.2.7)'],
  ]; // prettier-ignore
  return unkept(faults);
}

function faultsByPolicy(profile: ProfileContent, { purpose }: PublicKind, policy: PublicPolicy): string[] {
  const { subject, extendedKeyUsage } = profile;
  const surplus = attributeNames.filter((name) => subject[name] !== undefined && !policy.subject.includes(name));
  const isAlwaysThere = (name: keyof typeof subject): boolean =>
    subject[name] === 'required' || typeof subject[name] === 'object';
  const missing = policy.subjectWants.filter((names) => !names.some(isAlwaysThere));
  const list = missing.map((names) => names.join(' or ')).join(', ');
  const stray = extendedKeyUsage.filter((each) => each !== purpose && !policy.otherPurposes.includes(each));
  const faults: [isKept: boolean, want: string][] = [
    [surplus.length === 0, `want no ${surplus.join(', ')} in a subject of policy ${policy.oid} (CABF BR §7.1.2.7)`],
    [missing.length === 0, `want ${list} in every subject of policy ${policy.oid} (CABF BR §7.1.2.7)`],
    [stray.length === 0, `want no purpose ${stray.join(', ')} beside policy ${policy.oid} (CABF BR §7.1.2.7.10)`],
  ];
  return unkept(faults);
}

function unkept(faults: readonly (readonly [isKept: boolean, want: string])[]): string[] {
  return faults.filter(([isKept]) => !isKept).map(([, want]) => want);
}

function areBitsOf({ keyUsage, keys }: ProfileContent, kind: PublicKind): boolean {
  // An RSA key may be for key transport alone, and mail may be for decrypting alone.
  const signs = keys.every(
    (key) => key === 'rsa' || kind.keyUsage.includes('keyAgreement') || keyUsageFor(keyUsage, key).includes('digitalSignature'),
  ); // prettier-ignore
  const repudiates = !keyUsage.includes('nonRepudiation') || keyUsage.includes('digitalSignature');
  return signs && repudiates && keyUsage.every((bit) => kind.keyUsage.includes(bit));
}

function areNamesOf({ allowedNames, addedNames, requiredNames }: ProfileContent, { names }: PublicKind): boolean {
  const kinds = [...allowedNames, ...addedNames.map(({ type }) => type)];
  return kinds.every((kind) => names.includes(kind)) && (names.length === 0 || requiredNames.length > 0);
}

function isNameListed({ subject }: ProfileContent, { names }: PublicKind): boolean {
  return names.length === 0 || subject.commonName === undefined || subject.commonName === 'name';
}

function nameOfKey(key: string): string {
  return key === 'ed25519' ? 'Ed25519' : key;
}
