import { parseDer } from '../der/der-reader.js';
import { CaError } from '../errors.js';
import { attributeNameOf, readDistinguishedName } from '../name/distinguished-name.js';
import { keyUsageFor, type SubjectKeyKind } from '../profile/key-usage.js';
import { NameConstraints } from '../profile/name-constraints.js';
import type { Profile } from '../profile/profile.js';
import { isForumPolicy, isPublicIssuer, publicIssuerNameFaults, publicKindOf } from '../profile/public-style.js';
import { purposesBeyond } from '../profile/purpose.js';
import {
  authorityInfoAccess,
  authorityKeyIdentifier,
  basicConstraints,
  certificatePolicies,
  crlDistributionPoints,
  extendedKeyUsage,
  keyUsage,
  nameConstraints,
  noRevocationAvailable,
  ocspNoCheck,
  tlsFeatureStatusRequest,
} from './extensions.js';
import type { CertificateOrder } from './certificate-order.js';
import type { Issuer } from './issuer.js';
import type { IssuerLocations } from './locations.js';

/** What is the same for every certificate of a profile, an issuer and a kind of key. */
export type FixedContent = Pick<
  CertificateOrder,
  'authority' | 'profile' | 'issuerValidity' | 'fixedExtensions' | 'serialExtensions'
>;

/** A profile under an issuer: its fixed extensions are encoded once for each kind of key. */
export class CertificateTemplate {
  readonly #contents = new Map<SubjectKeyKind, FixedContent>();

  /**
   * @throws {CaError} ERR_CA_CONSTRAINT_VIOLATED when the issuer, or a CA above it, is not for what the profile is for, no such CA may
   * follow below it (RFC 5280 §4.2.1.9), or the profile is public-style and the issuer is not
   */
  constructor(
    readonly profile: Profile,
    readonly issuer: Issuer,
    private readonly locations: IssuerLocations,
  ) {
    const { authority, extendedKeyUsage: asked } = profile;
    if (profile.publicStyle) assertPublicIssuer(profile, issuer);
    const beyond = issuer.chain.flatMap((ca) => purposesBeyond(asked, ca.purposes));
    if (beyond.length > 0)
      throw new CaError(
        'ERR_CA_CONSTRAINT_VIOLATED',
        `profile ${profile.name}: want an issuer for what it is for, got one that is not for ${[...new Set(beyond)].join(', ')}`,
      );
    if (authority === undefined) return;
    const room = pathLengthBelow(issuer);
    if (room < (authority.pathLength ?? 0))
      throw new CaError(
        'ERR_CA_CONSTRAINT_VIOLATED',
        `profile ${profile.name}: want an issuer that allows a CA of pathLen ${authority.pathLength ?? 'any'} below it, got one that allows ${room < 0 ? 'none' : room}`,
      );
  }

  contentFor(kind: SubjectKeyKind): FixedContent {
    let content = this.#contents.get(kind);
    if (content === undefined) {
      const { profile, issuer } = this;
      const fixedExtensions = this.#extensions(kind);
      const { validity } = issuer.certificate;
      content = { authority: issuer, profile, issuerValidity: validity, fixedExtensions, ...this.#shard() };
      this.#contents.set(kind, content);
    }
    return content;
  }

  /** The shard of the CRL is the certificate's for life: it is fixed here, and read from the certificate when it is revoked. */
  #shard(): Pick<CertificateOrder, 'serialExtensions'> {
    const { crlShard } = this.locations;
    if (crlShard === undefined || !this.#isSharded) return {};
    return { serialExtensions: (serial) => [crlDistributionPoints([crlShard(serial)])] };
  }

  get #isSharded(): boolean {
    const { noRevocation, crl, authority } = this.profile;
    return this.locations.crlShard !== undefined && !noRevocation && crl === undefined && authority === undefined;
  }

  #extensions(kind: SubjectKeyKind): readonly Buffer[] {
    const { profile, issuer, locations } = this;
    const { authority, policies } = profile;
    const pointers = profile.noRevocation ? { ocsp: [], crl: [] } : locations;
    const { caIssuers, ocsp, crl } = { ...locations, ...pointers, ...definedLocations(profile) };
    const constraints = authority?.nameConstraints;
    return [
      keyUsage(keyUsageFor(profile.keyUsage, kind)),
      ...(profile.extendedKeyUsage.length === 0 ? [] : [extendedKeyUsage(profile.extendedKeyUsage)]),
      basicConstraints(authority),
      ...(constraints === undefined ? [] : [nameConstraints(NameConstraints.of(constraints))]),
      authorityKeyIdentifier(issuer.keyIdentifier),
      ...(policies.length === 0 ? [] : [certificatePolicies(forumFirst(policies))]),
      ...(caIssuers.length + ocsp.length === 0 ? [] : [authorityInfoAccess({ caIssuers, ocsp })]),
      ...(crl.length === 0 || this.#isSharded ? [] : [crlDistributionPoints(crl)]),
      ...(profile.ocspNoCheck ? [ocspNoCheck()] : []),
      ...(profile.noRevocation ? [noRevocationAvailable()] : []),
      ...(profile.mustStaple ? [tlsFeatureStatusRequest()] : []),
    ];
  }
}

/** @throws {CaError} ERR_CA_CONSTRAINT_VIOLATED when the issuer's purposes or its name are not those of a CA of the public */
function assertPublicIssuer({ name, extendedKeyUsage }: Profile, { certificate }: Issuer): void {
  const kind = publicKindOf(extendedKeyUsage);
  if (kind === undefined) return;
  if (!isPublicIssuer(kind, certificate.purposes))
    throw new CaError(
      'ERR_CA_CONSTRAINT_VIOLATED',
      `profile ${name}: want an issuer whose extendedKeyUsage is ${kind.purpose}, since it is public-style (CABF BR §7.1.2.10.6), got ${certificate.purposes?.join(', ') ?? 'none'}`,
    );
  const attributes = readDistinguishedName(parseDer(certificate.subject)) ?? [];
  const faults = publicIssuerNameFaults(
    kind,
    attributes.map(({ type }) => attributeNameOf(type)),
  );
  if (faults.length > 0)
    throw new CaError(
      'ERR_CA_CONSTRAINT_VIOLATED',
      `profile ${name}: want an issuer whose name has ${faults.join(', ')}, since it is public-style (CABF BR §7.1.2.10.2)`,
    );
}

/** How many CAs may follow below one that this issuer certifies: negative when it may certify none. */
function pathLengthBelow({ chain }: Issuer): number {
  return Math.min(...chain.map(({ pathLength = Infinity }, depth) => pathLength - depth - 1));
}

/** A policy of the Forum SHOULD come first (CABF BR §7.1.2.7.9); of the others the order says nothing. */
function forumFirst(policies: Profile['policies']): Profile['policies'] {
  return [...policies].sort((left, right) => Number(isForumPolicy(right.oid)) - Number(isForumPolicy(left.oid)));
}

function definedLocations({ caIssuers, ocsp, crl }: Profile): Partial<IssuerLocations> {
  return { ...(caIssuers && { caIssuers }), ...(ocsp && { ocsp }), ...(crl && { crl }) };
}
