import { parseDer } from '../der/der-reader.js';
import { oids } from '../der/oid.js';
import {
  attributeNameOf,
  encodeDistinguishedName,
  readDirectoryString,
  readDistinguishedName,
  type SubjectAttributes,
} from '../name/distinguished-name.js';
import { readGeneralName } from '../name/general-name.js';
import type { CertifiedNames } from '../profile/certified-names.js';
import { type AcceptedKey, acceptPublicKey } from '../request/key-policy.js';
import type { DerNode } from '../der/der-reader.js';
import { viewTbsCertificate } from './certificate-view.js';
import type { CertificateOrder } from './certificate-order.js';

/** What an unfinished TBS asks for, as a CSR would. */
export interface CommittedRequest {
  readonly certified: CertifiedNames;
  readonly key: AcceptedKey;
  readonly order: Pick<CertificateOrder, 'subject' | 'subjectPublicKeyInfo' | 'names'>;
}

/**
 * What the TBS of an unfinished row of a requester asks for, its key found acceptable. Possession of the private key was proven
 * before the TBS was committed and cannot be proven again.
 * @throws {DerError | TypeError | CaError} when it is no TBSCertificate of ours
 */
export function readCommittedTbs(tbs: Buffer): CommittedRequest {
  const { subject, subjectPublicKeyInfo, extensions } = viewTbsCertificate(parseDer(tbs));
  const subjectAltName = extensions.find(({ oid }) => oid === oids.subjectAltName);
  const names = (subjectAltName?.value.children ?? []).map(readGeneralName);
  return {
    certified: { subject: readSubject(subject), names },
    key: acceptPublicKey(subjectPublicKeyInfo),
    order: { subject: subject.raw, subjectPublicKeyInfo: subjectPublicKeyInfo.raw, names },
  };
}

/** @throws {TypeError} for a subject no encoder of ours writes */
function readSubject(subject: DerNode): SubjectAttributes {
  const attributes = (readDistinguishedName(subject) ?? []).map(({ type, value }) => [
    attributeNameOf(type),
    readDirectoryString(value),
  ]);
  const read = Object.fromEntries(attributes) as SubjectAttributes;
  if (!encodeDistinguishedName(read).equals(subject.raw)) throw new TypeError('want a subject of ours');
  return read;
}
