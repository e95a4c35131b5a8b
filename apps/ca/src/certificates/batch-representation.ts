import type { CertificateAuthority } from '@nest-hsm/ca';
import { representOrder } from '../orders/order-representation.js';
import { problemOf } from '../problem/problem.js';
import type { BatchDto, BatchResultDto } from './batch.dto.js';
import { pemChainOf, pemOf } from './representation.js';
import type { Submitted } from './submissions.js';

/** The results of a batch, and each chain they need once. */
export function representBatch(
  authority: CertificateAuthority,
  results: readonly PromiseSettledResult<Submitted>[],
  requestId: string,
): BatchDto {
  const chains: Record<string, string[]> = {};
  const represented = results.map((result): BatchResultDto => {
    if (result.status === 'rejected') return { problem: problemOf(result.reason, requestId) };
    if ('order' in result.value) return { order: representOrder(result.value.order) };
    const { serial, issuerId, der, notAfter } = result.value.issued;
    chains[issuerId] ??= pemChainOf(authority, issuerId);
    return { certificate: { serial, certificate: pemOf(der), issuer: issuerId, notAfter: notAfter.toISOString() } };
  });
  return { results: represented, chains };
}
