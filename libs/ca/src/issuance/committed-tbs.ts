import { parseDer } from '../der/der-reader.js';
import { oids } from '../der/oid.js';
import { readGeneralName } from '../name/general-name.js';
import { acceptPublicKey } from '../request/key-policy.js';
import { viewTbsCertificate } from './certificate-view.js';
import type { CertificateOrder } from './issuance.js';

/**
 * What the TBS of an unfinished end-entity row asks for, as a CSR would, its key found acceptable. Possession of the private
 * key was proven before the TBS was committed and cannot be proven again.
 * @throws {DerError | TypeError | CaError} when it is no TBSCertificate of ours
 */
export function readCommittedTbs(tbs: Buffer): Pick<CertificateOrder, 'subject' | 'subjectPublicKeyInfo' | 'names'> {
  const { subject, subjectPublicKeyInfo, extensions } = viewTbsCertificate(parseDer(tbs));
  acceptPublicKey(subjectPublicKeyInfo);
  const subjectAltName = extensions.find(({ oid }) => oid === oids.subjectAltName);
  return {
    subject: subject.raw,
    subjectPublicKeyInfo: subjectPublicKeyInfo.raw,
    names: (subjectAltName?.value.children ?? []).map(readGeneralName),
  };
}
