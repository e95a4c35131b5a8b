import { parseDer } from '../der/der-reader.js';
import { decodeOid, oids } from '../der/oid.js';
import { CaError } from '../errors.js';
import { type CaCertificate, readCaCertificate } from '../issuance/ca-certificate.js';
import { type ExtensionView, viewTbsCertificate } from '../issuance/certificate-view.js';
import type { IssuedCertificate } from '../issuance/issuance.js';
import { type Issuer } from '../issuance/issuer.js';
import { keyIdentifier } from '../issuance/key-identifier.js';
import { acceptPublicKey } from '../request/key-policy.js';
import { subordinateProfile } from '../profile/profile.js';
import { certifiedOrder } from './ca-order.js';
import type { HierarchyContext } from './hierarchy.js';

/** Extensions that are kept, made anew, or that limit nothing. */
const carried: readonly string[] = [
  oids.basicConstraints,
  oids.keyUsage,
  oids.nameConstraints,
  oids.subjectKeyIdentifier,
  oids.authorityKeyIdentifier,
  oids.authorityInfoAccess,
  oids.crlDistributionPoints,
];

/**
 * Certifies another CA's key under its own name, so that its chains also lead to our root (RFC 5280 §3.2). Its name constraints and
 * path length are kept.
 * @param der  the other CA's certificate
 * @param validityDays  at most as long as its own
 * @throws {CaError} ERR_CA_IMPORT_REFUSED | ERR_CA_CONSTRAINT_VIOLATED | ERR_CA_KEY_*
 */
export async function crossSign(
  context: HierarchyContext,
  by: Issuer,
  der: Buffer,
  validityDays: number,
): Promise<IssuedCertificate> {
  const { issuance, config, now } = context;
  const other = readOther(der);
  if (other.subject.equals(by.name))
    throw new CaError(
      'ERR_CA_IMPORT_REFUSED',
      'cross-signing: want a CA of another name than the one that signs, since paths are found by names (RFC 5280 §6.1)',
    );
  const { subjectPublicKeyInfo, extensions } = viewTbsCertificate(parseDer(der).children[0]);
  // What limits the other CA must limit it here too; purposes and policies are not carried over, so a CA that is limited to some is refused.
  const others = extensions
    .filter((extension) => !carried.includes(extension.oid) && !isAnyPolicy(extension))
    .map(({ oid }) => oid);
  if (others.length > 0)
    throw new CaError('ERR_CA_IMPORT_REFUSED', `cross-signing: want a CA without extensions ${others.join(', ')}`);
  acceptPublicKey(subjectPublicKeyInfo);
  // What the other CA has issued names this identifier; ours is derived (RFC 7093 §2), so they must be the same.
  const identifier = keyIdentifier(subjectPublicKeyInfo);
  if (!other.keyIdentifier.equals(identifier))
    throw new CaError(
      'ERR_CA_IMPORT_REFUSED',
      `cross-signing: want subject key identifier ${identifier.toString('hex')} (RFC 7093 §2 method 1), got ${other.keyIdentifier.toString('hex')}`,
    );
  const days = Math.min(validityDays, Math.floor((other.validity.notAfter.getTime() - now().getTime()) / 86_400_000));
  if (days < 1) throw new CaError('ERR_CA_IMPORT_REFUSED', 'cross-signing: want a CA valid for a day at least');
  const { subject, nameConstraints } = other;
  const pathLength =
    other.pathLength ?? (by.certificate.pathLength === undefined ? undefined : by.certificate.pathLength - 1);
  const profile = subordinateProfile('cross-ca', days, pathLength);
  const certified = {
    name: 'cross-signed',
    subject,
    subjectPublicKeyInfo: subjectPublicKeyInfo.raw,
    profile,
    nameConstraints,
  };
  const order = certifiedOrder(certified, by, { publicUrl: config.publicUrl, now: now() });
  return issuance.redeem(await issuance.prepare(order));
}

function readOther(der: Buffer): CaCertificate {
  try {
    return readCaCertificate(der);
  } catch (cause) {
    throw new CaError(
      'ERR_CA_IMPORT_REFUSED',
      'cross-signing: want the certificate of a CA, with a subject key identifier, got another',
      { cause },
    );
  }
}

/** Policies that limit nothing, as every CA below a root has them here. */
function isAnyPolicy({ oid, value: { children: policies } }: ExtensionView): boolean {
  if (oid !== oids.certificatePolicies || policies.length !== 1) return false;
  const [policy, ...qualifiers] = policies[0].children;
  return decodeOid(policy.content) === oids.anyPolicy && qualifiers.length === 0;
}
