import type { DecisionSeals } from '../issuance/decision-seals.js';
import { idempotencyOf } from '../issuance/idempotency.js';
import type { CertificateRecord } from '../store/certificate-store.js';
import type { OrderRecord, OrderStore } from '../store/order-store.js';

/** What is sealed of an order when it is placed. */
export function placementOf({
  id,
  profile,
  profileVersion,
  requester,
  csr,
  names,
  expiresAt,
}: OrderRecord): (string | Buffer)[] {
  return [id, profile, profileVersion, requester, csr, JSON.stringify(names), String(expiresAt.getTime())];
}

/** More than wait for their certificate at once: each was approved by hand. */
const maximumApproved = 1_000;

/** The approved order that led to an unfinished row: the row's idempotency key and request are those of no other. */
export async function approvedOrderOf(
  orders: Pick<OrderStore, 'listApproved'>,
  seals: DecisionSeals,
  row: Pick<CertificateRecord, 'requester' | 'profile' | 'profileVersion' | 'idempotencyKey' | 'requestSha256'>,
): Promise<OrderRecord | undefined> {
  const approved = await orders.listApproved(row.requester, row.profile, maximumApproved);
  return approved.find((order) => {
    const { id, requester, profile, profileVersion, csr } = order;
    if (!seals.isSealed(order.seal, 'order', placementOf(order))) return false;
    const { idempotencyKey, requestSha256 } = idempotencyOf(requester, ['order', id], [profile, csr]);
    const isItsOwn = idempotencyKey === row.idempotencyKey && requestSha256 === row.requestSha256;
    return isItsOwn && profileVersion === row.profileVersion;
  });
}
