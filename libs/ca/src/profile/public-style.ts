import { oids } from '../der/oid.js';
import type { AttributeName } from '../name/distinguished-name.js';
import type { NameKind } from '../name/general-name.js';
import type { KeyUsageBit, SubjectKeyKind } from './key-usage.js';

/** A policy that says a certificate keeps the Baseline Requirements, and what they want of its subject. */
export interface PublicPolicy {
  readonly oid: string;
  /** Attributes it may have. */
  readonly subject: readonly AttributeName[];
  /** One of each of these it must have. */
  readonly subjectWants: readonly (readonly AttributeName[])[];
  /** Purposes it may have besides its own. */
  readonly otherPurposes: readonly string[];
}

/** The Baseline Requirements of the CA/Browser Forum for one purpose, as far as a certificate shows whether they are kept. */
export interface PublicKind {
  readonly purpose: string;
  readonly policies: readonly PublicPolicy[];
  readonly names: readonly NameKind[];
  readonly keys: readonly SubjectKeyKind[];
  readonly minimumRsaBits: number;
  readonly keyUsage: readonly KeyUsageBit[];
  /** The longest validity in days by the day of notBefore, the latest first. */
  readonly validityDays: readonly (readonly [from: string, days: number])[];
  /** Whether it must name a CRL; else an OCSP responder will do. */
  readonly namesCrl: boolean;
  /** Attributes that the name of its issuer must not have. */
  readonly issuerWithout: readonly AttributeName[];
}

const identity: Pick<PublicPolicy, 'subject' | 'subjectWants'> = {
  subject: ['country', 'stateOrProvince', 'locality', 'organization', 'commonName'],
  subjectWants: [['organization'], ['country'], ['stateOrProvince', 'locality']],
};

/**
 * CABF BR §7.1.2.7; the policies by §7.1.6.1, without those that want attributes no profile has. §7.1.2.7.10 would let a server's
 * certificate be for clients too; programs of public roots do not (Chrome Root Program Policy 1.8, for dedicated TLS hierarchies: CAs
 * since 2026-06-15, certificates from 2027-03-15), and it would outlive the day. Nor do they do without a place to ask for the status of a
 * certificate that lives short, as §7.1.2.11.2 would (Microsoft Trusted Root Program, 3.A.5).
 */
const tls: PublicKind = {
  purpose: oids.serverAuth,
  policies: [
    // Domain-validated.
    { oid: '2.23.140.1.2.1', subject: ['country', 'commonName'], subjectWants: [], otherPurposes: [] },
    // Organization-validated.
    { oid: '2.23.140.1.2.2', ...identity, otherPurposes: [] },
  ],
  names: ['dns', 'ip'],
  keys: ['rsa', 'ec-p256', 'ec-p384', 'ec-p521'],
  minimumRsaBits: 2048,
  keyUsage: ['digitalSignature', 'keyEncipherment'],
  validityDays: [
    ['2029-03-15T00:00:00Z', 47],
    ['2027-03-15T00:00:00Z', 100],
    ['2026-03-15T00:00:00Z', 200],
    ['2020-09-01T00:00:00Z', 398],
  ],
  namesCrl: false,
  issuerWithout: ['organizationalUnit'],
};

const mailbox: Pick<PublicPolicy, 'subject' | 'subjectWants'> = {
  subject: ['commonName', 'serialNumber', 'emailAddress'],
  subjectWants: [],
};

/** CABF SMIME BR §7.1.2.3, mailbox-validated: no profile has the attributes that the other policies want. */
const smime: PublicKind = {
  purpose: oids.emailProtection,
  policies: [
    // Strict.
    { oid: '2.23.140.1.5.1.3', ...mailbox, otherPurposes: [] },
    // Multipurpose.
    { oid: '2.23.140.1.5.1.2', ...mailbox, otherPurposes: [oids.clientAuth, oids.documentSigning] },
  ],
  names: ['email'],
  keys: ['rsa', 'ec-p256', 'ec-p384', 'ec-p521', 'ed25519'],
  minimumRsaBits: 2048,
  keyUsage: ['digitalSignature', 'nonRepudiation', 'keyEncipherment', 'keyAgreement'],
  validityDays: [['2023-09-01T00:00:00Z', 825]],
  namesCrl: true,
  issuerWithout: [],
};

/** CABF CS BR §7.1.2.3, without extended validation. */
const codeSigning: PublicKind = {
  purpose: oids.codeSigning,
  policies: [
    {
      oid: '2.23.140.1.4.1',
      subject: identity.subject,
      subjectWants: [...identity.subjectWants, ['commonName']],
      otherPurposes: [],
    },
  ],
  names: [],
  keys: ['rsa', 'ec-p256', 'ec-p384', 'ec-p521'],
  minimumRsaBits: 3072,
  keyUsage: ['digitalSignature'],
  validityDays: [
    ['2026-03-01T00:00:00Z', 460],
    ['2021-06-01T00:00:00Z', 1186],
  ],
  namesCrl: true,
  issuerWithout: [],
};

const kinds = [tls, codeSigning, smime];

/** The requirements for a certificate with these purposes; undefined when there are none. */
export function publicKindOf(purposes: readonly string[]): PublicKind | undefined {
  return kinds.find(({ purpose }) => purposes.includes(purpose));
}

/**
 * Whether a CA is for this purpose and for nothing that does not go with it, as a CA of the public is (CABF BR §7.1.2.10.6, CABF SMIME BR
 * and CS BR §7.1.2.2).
 * @param purposes  of its extendedKeyUsage; undefined: it has none
 */
export function isPublicIssuer({ purpose, policies }: PublicKind, purposes: readonly string[] | undefined): boolean {
  const fit = [purpose, ...policies.flatMap(({ otherPurposes }) => otherPurposes)];
  return purposes?.includes(purpose) === true && purposes.every((each) => fit.includes(each));
}

const issuerHas: readonly AttributeName[] = ['country', 'organization', 'commonName'];

/**
 * What the name of a CA of the public lacks, and what it has that it must not (CABF BR §7.1.2.10.2, CABF SMIME BR and CS BR §7.1.4.3).
 * @param attributes  of its subject; undefined: one that no name of ours has
 */
export function publicIssuerNameFaults(
  { issuerWithout }: PublicKind,
  attributes: readonly (AttributeName | undefined)[],
): string[] {
  return [
    ...issuerHas.filter((name) => !attributes.includes(name)),
    ...issuerWithout.filter((name) => attributes.includes(name)).map((name) => `no ${name}`),
  ];
}

/** Whether a policy is one of the CA/Browser Forum, and so says that its requirements are kept. */
export function isForumPolicy(oid: string): boolean {
  return oid.startsWith('2.23.140.1.');
}

/** The one policy of the Forum among these; undefined when there is none, several, or one that is not offered for the purpose. */
export function publicPolicyOf({ policies }: PublicKind, oidsOfPolicies: readonly string[]): PublicPolicy | undefined {
  const [found, ...others] = oidsOfPolicies.filter(isForumPolicy);
  return others.length > 0 ? undefined : policies.find(({ oid }) => oid === found);
}

/** The longest a certificate of that day may be valid (CABF BR §6.3.2 of each document). */
export function maximumPublicValidityDays({ validityDays }: PublicKind, notBefore: Date): number {
  return (validityDays.find(([from]) => notBefore >= new Date(from)) ?? validityDays[0])[1];
}
