import type { OrderRecord } from '@nest-hsm/ca';
import type { OrderDto } from './order.dto.js';

export function representOrder(order: OrderRecord): OrderDto {
  const { id, state, profile, requester, names, createdAt, expiresAt, decidedBy, decidedAt, reason, serial } = order;
  return {
    id,
    state: state === 'pending' && expiresAt <= new Date() ? 'expired' : state,
    profile,
    requester,
    names: [...names],
    createdAt: createdAt.toISOString(),
    expiresAt: expiresAt.toISOString(),
    ...(decidedBy !== undefined && { decidedBy }),
    ...(decidedAt !== undefined && { decidedAt: decidedAt.toISOString() }),
    ...(reason !== undefined && { reason }),
    ...(serial !== undefined && { serial }),
  };
}
