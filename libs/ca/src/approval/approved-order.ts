import { idempotencyOf } from '../issuance/idempotency.js';
import type { CertificateRecord } from '../store/certificate-store.js';
import type { OrderRecord, OrderStore } from '../store/order-store.js';

/** More than wait for their certificate at once: each was approved by hand. */
const maximumApproved = 1_000;

/** The approved order that led to an unfinished row: the row's idempotency key and request are those of no other. */
export async function approvedOrderOf(
  orders: Pick<OrderStore, 'listApproved'>,
  row: Pick<CertificateRecord, 'requester' | 'profile' | 'profileVersion' | 'idempotencyKey' | 'requestSha256'>,
): Promise<OrderRecord | undefined> {
  const approved = await orders.listApproved(row.requester, row.profile, maximumApproved);
  return approved.find(({ id, requester, profile, profileVersion, csr }) => {
    const { idempotencyKey, requestSha256 } = idempotencyOf(requester, ['order', id], [profile, csr]);
    const isItsOwn = idempotencyKey === row.idempotencyKey && requestSha256 === row.requestSha256;
    return isItsOwn && profileVersion === row.profileVersion;
  });
}
