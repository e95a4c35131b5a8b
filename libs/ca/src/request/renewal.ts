import { parseDer } from '../der/der-reader.js';
import { CaError } from '../errors.js';
import { viewTbsCertificate } from '../issuance/certificate-view.js';
import type { CertificateOrder } from '../issuance/certificate-order.js';
import type { Issuer } from '../issuance/issuer.js';
import { validityOf } from '../issuance/validity.js';
import { searchNames, searchNamesOf } from '../search/search-names.js';
import { statusOf } from '../search/certificate-search.js';
import type { FoundCertificate } from '../store/certificate-search-store.js';
import { assertApproved, type IssuancePolicy, type Requester } from './issuance-policy.js';

/**
 * The order of a certificate that follows another: its profile, subject and names, and its key too when there is no CSR. All of it
 * is decided anew by today's policy.
 * @throws {CaError} ERR_CA_RENEWAL_REFUSED, and what a new request would be refused with
 */
export async function renewalOrder(
  policy: IssuancePolicy,
  old: FoundCertificate,
  csr: Uint8Array | string | undefined,
  issuer: Issuer,
  who: Requester,
  now: Date,
): Promise<CertificateOrder> {
  assertRenewable(old, who.requester, now);
  const profile = policy.profile(old.profile);
  const tbs = parseDer(old.certificate).children[0];
  if (csr !== undefined) {
    const order = await policy.order(csr, profile, issuer, who, now);
    assertSameNames(order, old, viewTbsCertificate(tbs).subject.raw);
    return { ...order, renews: old.serial };
  }
  assertApproved(profile, who);
  const order = policy.orderOf({ profile: old.profile, requester: who.requester, tbs: tbs.raw }, issuer);
  const validity = validityOf(profile, now, issuer.certificate.validity);
  return { ...order, validity, requester: who.requester, renews: old.serial };
}

function assertRenewable(old: FoundCertificate, requester: string, now: Date): void {
  // Whoever asked for it proved to have its key; nobody else did.
  if (old.requester !== requester) refuse(`one that ${requester} asked for, got one of ${old.requester}`);
  const status = statusOf(old, now);
  if (status !== 'valid') refuse(`a valid one, got one that is ${status}`);
}

function assertSameNames(order: CertificateOrder, old: FoundCertificate, oldSubject: Buffer): void {
  const names = new Set(searchNames(parseDer(order.subject), order.names));
  const oldNames = searchNamesOf(old.certificate);
  if (!order.subject.equals(oldSubject) || names.size !== oldNames.length || !oldNames.every((name) => names.has(name)))
    refuse(`a CSR with its subject and names (${oldNames.join(', ')}), got ${[...names].join(', ')}`);
}

function refuse(want: string): never {
  throw new CaError('ERR_CA_RENEWAL_REFUSED', `certificate to renew: want ${want}`);
}
