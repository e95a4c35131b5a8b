import type { DerNode } from '../der/der-reader.js';
import { contextPrimitive, tags } from '../der/der-writer.js';
import { oids } from '../der/oid.js';
import {
  type CertificateView,
  type ExtensionView,
  readTime,
  viewTbsCertificate,
} from '../issuance/certificate-view.js';
import type { SigningAuthority } from '../issuance/issuer.js';
import { keyIdentifier } from '../issuance/key-identifier.js';
import type { Rule } from '../issuance/lint.js';
import type { Validity } from '../issuance/tbs-certificate.js';
import { readDistinguishedName } from '../name/distinguished-name.js';

/** One certificate as it is meant. */
export interface ClusterIntent {
  readonly subject: DerNode;
  readonly subjectPublicKeyInfo: DerNode;
  readonly validity: Validity;
  readonly isAuthority: boolean;
}

interface ClusterUnderLint {
  readonly view: CertificateView;
  readonly intent: ClusterIntent;
  readonly authority: SigningAuthority;
  readonly serial: Buffer;
}

/** @throws {DerError | TypeError} when it is no TBSCertificate */
export function viewCluster(
  tbs: DerNode,
  intent: ClusterIntent,
  authority: SigningAuthority,
  serial: Buffer,
): ClusterUnderLint {
  return { view: viewTbsCertificate(tbs), intent, authority, serial };
}

type ClusterRule = Rule<ClusterUnderLint>;
const rule = (source: string, requires: string, holds: ClusterRule['holds']): ClusterRule => ({
  source,
  requires,
  holds,
});

/** RFC 5280 for the two certificates of a cluster: the owner's self-signed one, and the cluster's, whose subject is not ours to choose. */
export const clusterRules: readonly ClusterRule[] = [
  rule('RFC 5280 §4.1.2.1', 'the version is v3', ({ view }) => view.version?.content.equals(Buffer.of(2)) === true),
  rule('RFC 5280 §4.1.2.2', 'the serial number is the drawn one, positive, of at most 20 octets', ({ view, serial }) => view.serial.tag === tags.integer && view.serial.content.equals(serial) && serial.length <= 20 && serial[0] > 0 && serial[0] < 0x80),
  rule('RFC 5280 §4.1.2.3', "the signature algorithm is the owner's", ({ view, authority }) => view.signatureAlgorithm.raw.equals(authority.signatureAlgorithm.identifier)),
  rule('RFC 5280 §4.1.2.4', 'the issuer is the owner, and not empty', ({ view, authority }) => view.issuer.children.length > 0 && view.issuer.raw.equals(authority.name)),
  rule('RFC 5280 §4.1.2.5', 'the dates are proper, as meant, and in order', ({ view, intent }) => isTime(view.notBefore, intent.validity.notBefore) && isTime(view.notAfter, intent.validity.notAfter) && intent.validity.notBefore < intent.validity.notAfter),
  rule('RFC 5280 §4.1.2.6', 'the subject is the requested one, a Name, and not empty', ({ view, intent }) => view.subject.raw.equals(intent.subject.raw) && (readDistinguishedName(view.subject)?.length ?? 0) > 0),
  rule('RFC 5280 §4.1.2.7', 'the public key is the requested one', ({ view, intent }) => view.subjectPublicKeyInfo.raw.equals(intent.subjectPublicKeyInfo.raw)),
  rule('RFC 5280 §4.1.2.8', 'there are no unique identifiers', ({ view }) => view.unexpected.length === 0),
  rule('RFC 5280 §4.2', 'the extensions are those of its kind, each once, no DEFAULT written out', ({ view, intent }) => view.extensions.map(({ oid }) => oid).join() === extensionsOf(intent).join() && view.extensions.every(({ writesDefault }) => !writesDefault)),
  rule('RFC 5280 §4.2.1.1', "the authority key identifier is the owner's", ({ view, intent, authority }) => intent.isAuthority || isAuthorityKeyIdentifier(view.extensions[0], authority.keyIdentifier)),
  rule('RFC 5280 §4.2.1.2', 'the subject key identifier is derived from the key', ({ view }) => view.extensions.at(-1)?.value.content.equals(keyIdentifier(view.subjectPublicKeyInfo)) === true),
  rule('RFC 5280 §4.2.1.3', 'an owner signs certificates and CRLs, and this is critical', ({ view, intent }) => !intent.isAuthority || (view.extensions[0].critical && view.extensions[0].value.content.equals(Buffer.of(1, 0x06)))),
  rule('RFC 5280 §4.2.1.9', 'an owner is a CA, and this is critical', ({ view, intent }) => !intent.isAuthority || (view.extensions[1].critical && view.extensions[1].value.children.at(0)?.content[0] === 0xff)),
]; // prettier-ignore

function extensionsOf({ isAuthority }: ClusterIntent): string[] {
  const ofKind = isAuthority ? [oids.keyUsage, oids.basicConstraints] : [oids.authorityKeyIdentifier];
  return [...ofKind, oids.subjectKeyIdentifier];
}

function isTime(node: DerNode, meant: Date): boolean {
  return readTime(node)?.getTime() === meant.getTime() && (node.tag === tags.utcTime) === meant.getUTCFullYear() < 2050;
}

function isAuthorityKeyIdentifier({ value }: ExtensionView, identifier: Buffer): boolean {
  const [first, ...rest] = value.children;
  return rest.length === 0 && first.tag === contextPrimitive(0) && first.content.equals(identifier);
}
