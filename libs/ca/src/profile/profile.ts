import { createHash } from 'node:crypto';
import { oids } from '../der/oid.js';
import type { AttributeName } from '../name/distinguished-name.js';
import type { GeneralName, NameKind } from '../name/general-name.js';
import type { KeyUsageBit, SubjectKeyKind } from './key-usage.js';
import type { ConfiguredNameConstraints } from './name-constraints.js';

/**
 * Where an attribute of the subject comes from: `optional` and `required`, from the CSR; `name`, from the CSR and one more name of
 * SubjectAltName (commonName alone); else the value itself. An attribute without a rule is left out, whatever the CSR says.
 */
export type SubjectRule = 'optional' | 'required' | 'name' | { readonly value: string };

/** A name added to every certificate; `{commonName}` stands for an attribute of its subject. */
export type NameTemplate = GeneralName;

export interface CertificatePolicy {
  readonly oid: string;
  /** URI of the certification practice statement. */
  readonly cps?: string;
}

/** What a kind of certificate looks like, whoever it is for. Immutable; a change of any field is another `version`. */
export interface Profile {
  readonly name: string;
  /** SHA-256 of the content in hexadecimal, bound into issuance tickets. */
  readonly version: string;
  readonly validitySeconds: number;
  /** How far notBefore lies back, for relying parties whose clocks are late. */
  readonly backdateSeconds: number;
  readonly subject: Readonly<Partial<Record<AttributeName, SubjectRule>>>;
  /** Kinds of name SubjectAltName may have. */
  readonly allowedNames: readonly NameKind[];
  /** Kinds it must have; `any`: at least one name. */
  readonly requiredNames: readonly (NameKind | 'any')[];
  readonly addedNames: readonly NameTemplate[];
  readonly keys: readonly SubjectKeyKind[];
  readonly minimumRsaBits: number;
  /** As far as the key can have them; see `keyUsageFor`. */
  readonly keyUsage: readonly KeyUsageBit[];
  /** OIDs; empty: the extension is left out. */
  readonly extendedKeyUsage: readonly string[];
  /** A CA certificate, and how many CAs may follow below it; absent for an end entity. */
  readonly authority?: { readonly pathLength?: number; readonly nameConstraints?: ConfiguredNameConstraints };
  readonly policies: readonly CertificatePolicy[];
  /** http URLs; absent: those of the issuer; empty: none. */
  readonly caIssuers?: readonly string[];
  readonly ocsp?: readonly string[];
  readonly crl?: readonly string[];
  /** The certificate is not revoked and points to nothing that would say so (RFC 9608). */
  readonly noRevocation: boolean;
  /** An OCSP responder whose own certificate is not checked (RFC 6960 §4.2.2.2.1). */
  readonly ocspNoCheck: boolean;
  /** The server must staple an OCSP response (RFC 7633). */
  readonly mustStaple: boolean;
  /** Held against the Baseline Requirements of the CA/Browser Forum as well. */
  readonly publicStyle: boolean;
  /** Somebody other than the requester must approve each certificate. */
  readonly approval: boolean;
}

export type ProfileContent = Omit<Profile, 'version'>;

/** What a profile does not say. */
export const profileDefaults = {
  backdateSeconds: 60,
  subject: {},
  allowedNames: [],
  requiredNames: [],
  addedNames: [],
  keys: ['rsa', 'ec-p256', 'ec-p384', 'ec-p521', 'ed25519'],
  minimumRsaBits: 2048,
  keyUsage: ['digitalSignature'],
  extendedKeyUsage: [],
  policies: [],
  noRevocation: false,
  ocspNoCheck: false,
  mustStaple: false,
  publicStyle: false,
  approval: false,
} as const satisfies Partial<ProfileContent>;

/** Gives a profile its version and freezes it, all the way down. */
export function sealProfile(content: ProfileContent): Profile {
  const version = createHash('sha256').update(JSON.stringify(content)).digest('hex');
  return freeze({ ...structuredClone(content), version });
}

/**
 * Who holds such a certificate speaks for the CA: it signs certificates, or says which are revoked. A requester may have it only
 * where a rule names the profile.
 */
export function isPrivileged({ authority, ocspNoCheck, extendedKeyUsage }: Profile): boolean {
  return authority !== undefined || ocspNoCheck || extendedKeyUsage.includes(oids.ocspSigning);
}

/** Of the CA's own root, which limits no policies. */
export function rootProfile(validityDays: number): Profile {
  return authorityProfile('root-ca', validityDays, {});
}

/**
 * Of a CA below it. It has anyPolicy, since below a CA without policies the policies of a profile would count for nothing (RFC 5280
 * §6.1.3 (e)).
 */
export function subordinateProfile(
  name: string,
  validityDays: number,
  pathLength: number | undefined,
  extendedKeyUsage: readonly string[] = [],
): Profile {
  const authority = pathLength === undefined ? {} : { pathLength };
  return authorityProfile(name, validityDays, authority, { policies: [{ oid: oids.anyPolicy }], extendedKeyUsage });
}

function authorityProfile(
  name: string,
  validityDays: number,
  authority: NonNullable<Profile['authority']>,
  limits: Partial<Pick<ProfileContent, 'policies' | 'extendedKeyUsage'>> = {},
): Profile {
  return sealProfile({
    ...profileDefaults,
    name,
    validitySeconds: validityDays * 86_400,
    keyUsage: ['keyCertSign', 'cRLSign'],
    authority,
    ...limits,
  });
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(freeze);
    Object.freeze(value);
  }
  return value;
}
