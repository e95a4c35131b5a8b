import type { CertificateAuthority } from '@nest-hsm/ca';
import { representOrder } from '../orders/order-representation.js';
import type { Problem } from '../problem/problem.js';
import type { BatchDto, BatchResultDto } from './batch.dto.js';
import { pemChainOf, pemOf } from './representation.js';
import type { Submitted } from './submissions.js';

/**
 * The results of a batch, and each chain they need once.
 * @param report  makes a problem of what a request failed with
 */
export function representBatch(
  authority: CertificateAuthority,
  results: readonly PromiseSettledResult<Submitted>[],
  report: (error: unknown) => Problem,
): BatchDto {
  const chains: Record<string, string[]> = {};
  const represented = results.map((result): BatchResultDto => {
    if (result.status === 'rejected') return { problem: report(result.reason) };
    if ('order' in result.value) return { order: representOrder(result.value.order) };
    const { serial, issuerId, der, notAfter } = result.value.issued;
    chains[issuerId] ??= pemChainOf(authority, issuerId);
    return { certificate: { serial, certificate: pemOf(der), issuer: issuerId, notAfter: notAfter.toISOString() } };
  });
  return { results: represented, chains };
}
