import type { HsmKey } from '@nest-hsm/hsm';
import type { ParsedCaConfig } from '../config.js';
import { der } from '../der/der-writer.js';
import { CaError } from '../errors.js';
import { type CaCertificate, readCaCertificate } from '../issuance/ca-certificate.js';
import {
  authorityInfoAccess,
  authorityKeyIdentifier,
  basicConstraints,
  keyUsage,
  nameConstraints,
} from '../issuance/extensions.js';
import type { CertificateOrder, Issuance } from '../issuance/issuance.js';
import { type Issuer, issuer, type IssuerToken, signingAuthority } from '../issuance/issuer.js';
import { validityOf } from '../issuance/validity.js';
import { encodeDistinguishedName } from '../name/distinguished-name.js';
import type { CaObserver } from '../observer.js';
import { NameConstraints } from '../profile/name-constraints.js';
import { issuingProfile, rootProfile } from '../profile/profile.js';
import type { CertificateStore } from '../store/certificate-store.js';
import { location } from '../issuance/locations.js';

export interface HierarchyContext {
  readonly config: ParsedCaConfig;
  readonly token: IssuerToken;
  readonly certificates: CertificateStore;
  readonly issuance: Issuance;
  readonly observer: CaObserver;
  readonly now: () => Date;
}

type KeyConfig = ParsedCaConfig['authority']['root' | 'issuing'];

/** Who is written as the requester of a CA's own certificates. */
const requester = 'initialize';

/**
 * Makes what is missing of root key, root certificate, issuing key, issuing certificate, in this order. Made again or after
 * a crash at any point, it goes on with what is there; made by several processes at once, one does it and the others find it done.
 * @throws {CaError} ERR_CA_ISSUER_UNUSABLE when what is there is not what the configuration says
 */
export async function initializeHierarchy(context: HierarchyContext): Promise<Issuer> {
  // Labels are not unique on a token, so two processes that both miss a key would both make one.
  return context.certificates.exclusively(() => makeWhatIsMissing(context));
}

async function makeWhatIsMissing(context: HierarchyContext): Promise<Issuer> {
  const { root, issuing } = context.config.authority;
  const rootKey = await findOrGenerateKey(context, root);
  const rootCertificate = await findOrIssue(context, rootKey, rootOrder(context, rootKey));
  const rootIssuer = issuer(rootKey, [rootCertificate]);
  const issuingKey = await findOrGenerateKey(context, issuing);
  const issuingCertificate = await findOrIssue(context, issuingKey, issuingOrder(context, issuingKey, rootIssuer));
  return issuer(issuingKey, [issuingCertificate, rootCertificate]);
}

/**
 * The issuing CA as it was initialised. The root's key need not be on the token any more.
 * @throws {CaError} ERR_CA_NOT_INITIALIZED | ERR_CA_ISSUER_UNUSABLE
 */
export async function loadIssuer({ config, token, certificates }: HierarchyContext): Promise<Issuer> {
  const notInitialized = (what: string): never => {
    throw new CaError(
      'ERR_CA_NOT_INITIALIZED',
      `issuing CA: want ${what}, got none; run nest-hsm ca init, or set authority.initialize`,
    );
  };
  const { label, algorithm } = config.authority.issuing;
  const key = (await findKey(token, label)) ?? notInitialized(`a key ${label} on the token`);
  assertAlgorithm(key, algorithm);
  const { id } = signingAuthority(key, Buffer.alloc(0));
  const row = await certificates.findAuthority(id);
  if (row?.certificate === undefined) return notInitialized(`an issued certificate of key ${label}`);
  const rootRow = await certificates.findAuthority(row.issuerId);
  if (rootRow?.certificate === undefined) return notInitialized('an issued root certificate');
  const chain = [readCaCertificate(row.certificate), readCaCertificate(rootRow.certificate)];
  assertConfigured(chain[0], config.authority.issuing);
  assertConfigured(chain[1], config.authority.root);
  return issuer(key, chain);
}

async function findOrGenerateKey(
  { token, observer }: HierarchyContext,
  { label, algorithm }: KeyConfig,
): Promise<HsmKey> {
  let key = await findKey(token, label);
  if (key === undefined) {
    key = await token.generateKeyPair({ label, algorithm, usage: 'sign' });
    observer.step?.('key-generated', label);
  }
  assertAlgorithm(key, algorithm);
  return key;
}

function assertAlgorithm(key: HsmKey, algorithm: KeyConfig['algorithm']): void {
  if (key.algorithm !== algorithm)
    throw new CaError('ERR_CA_ISSUER_UNUSABLE', `issuer key ${key.label}: want ${algorithm}, got ${key.algorithm}`);
}

async function findKey(token: IssuerToken, label: string): Promise<HsmKey | undefined> {
  const keys = await token.listKeys({ label, usage: 'sign' });
  if (keys.length > 1)
    throw new CaError('ERR_CA_ISSUER_UNUSABLE', `issuer key ${label}: want one on the token, got ${keys.length}`);
  return keys.at(0);
}

/** The certificate of a CA's key: the issued one, else the one a crash left unfinished, else a new one. */
async function findOrIssue(
  { certificates, issuance, config }: HierarchyContext,
  key: HsmKey,
  order: CertificateOrder,
): Promise<CaCertificate> {
  const { id } = signingAuthority(key, order.subject);
  const row = await certificates.findAuthority(id);
  if (row?.state === 'reserved') await certificates.void(row.serial);
  const der =
    row?.certificate ?? (await (row?.state === 'signing' ? issuance.complete(row, order) : issue(issuance, order))).der;
  const certificate = readCaCertificate(der);
  assertConfigured(certificate, order.profile.name === 'root-ca' ? config.authority.root : config.authority.issuing);
  return certificate;
}

async function issue(issuance: Issuance, order: CertificateOrder): ReturnType<Issuance['redeem']> {
  return issuance.redeem(await issuance.prepare(order));
}

function rootOrder({ config, now }: HierarchyContext, key: HsmKey): CertificateOrder {
  const { subject, validityDays } = config.authority.root;
  const authority = signingAuthority(key, encodeDistinguishedName(subject));
  const profile = rootProfile(validityDays);
  return {
    authority,
    profile,
    subject: authority.name,
    subjectPublicKeyInfo: authority.subjectPublicKeyInfo,
    names: [],
    validity: validityOf(profile, now()),
    fixedExtensions: [keyUsage(profile.keyUsage), basicConstraints(profile.authority)],
    requester,
  };
}

function issuingOrder({ config, now }: HierarchyContext, key: HsmKey, root: Issuer): CertificateOrder {
  const { subject, validityDays, nameConstraints: constraints } = config.authority.issuing;
  const profile = issuingProfile(validityDays);
  if (root.certificate.pathLength === 0)
    throw new CaError('ERR_CA_CONSTRAINT_VIOLATED', 'issuing CA: want a root that allows a CA below it, got pathLen 0');
  const rootUrl = location(config.publicUrl, 'root');
  return {
    authority: root,
    profile,
    issuerValidity: root.certificate.validity,
    subject: encodeDistinguishedName(subject),
    subjectPublicKeyInfo: signingAuthority(key, root.name).subjectPublicKeyInfo,
    names: [],
    validity: validityOf(profile, now(), root.certificate.validity),
    fixedExtensions: [
      keyUsage(profile.keyUsage),
      basicConstraints(profile.authority),
      authorityKeyIdentifier(root.keyIdentifier),
      ...(constraints === undefined ? [] : [nameConstraints(NameConstraints.of(constraints))]),
      ...(rootUrl === undefined ? [] : [authorityInfoAccess(rootUrl)]),
    ],
    requester,
  };
}

/** The configuration may not quietly disagree with what was certified. */
function assertConfigured(certificate: CaCertificate, config: KeyConfig): void {
  const differs = (what: string): never => {
    throw new CaError(
      'ERR_CA_ISSUER_UNUSABLE',
      `CA certificate of key ${config.label}: want the configured ${what}, got others in the database`,
    );
  };
  if (!certificate.subject.equals(encodeDistinguishedName(config.subject))) differs('subject');
  // An operator who writes name constraints must not believe in some that the certificate does not have.
  const configured = 'nameConstraints' in config ? config.nameConstraints : undefined;
  const wanted = configured && NameConstraints.of(configured);
  if (!sameConstraints(wanted, certificate.nameConstraints)) differs('name constraints');
}

function sameConstraints(left: NameConstraints | undefined, right: NameConstraints | undefined): boolean {
  const octets = (constraints: NameConstraints): Buffer => der((writer) => constraints.write(writer));
  return left === undefined || right === undefined ? left === right : octets(left).equals(octets(right));
}
