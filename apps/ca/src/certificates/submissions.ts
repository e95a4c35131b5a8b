import { Injectable } from '@nestjs/common';
import { CertificateAuthority, type IssuedCertificate, type OrderRecord, Orders } from '@nest-hsm/ca';
import { assertMayUse, type Principal } from '../access/principal.js';
import { CertificateLimit } from '../limits/certificate-limit.js';
import { CaMetrics } from '../monitoring/ca-metrics.js';
import type { IssueRequest } from './body.js';

/** What becomes of a request that is not refused. */
export type Submitted = { readonly issued: IssuedCertificate } | { readonly order: OrderRecord };

/** How many requests of one batch are worked on at once. */
const batchConcurrency = 96;

/** Takes requests for certificates: each becomes a certificate, or an order that waits for approval. */
@Injectable()
export class Submissions {
  constructor(
    private readonly authority: CertificateAuthority,
    private readonly orders: Orders,
    private readonly limit: CertificateLimit,
    private readonly metrics: CaMetrics,
  ) {}

  /** @throws {ApiError} ERR_API_FORBIDDEN | ERR_API_RATE_LIMITED  @throws {CaError | HsmError} as `CertificateAuthority.issue` */
  async submit(request: IssueRequest, caller: Principal, idempotencyKey?: string): Promise<Submitted> {
    this.limit.take(caller, 1);
    return this.#submit(request, caller, idempotencyKey);
  }

  /**
   * Each request by itself: one that is refused does not concern the others.
   * @returns in the order of the requests
   * @throws {ApiError} ERR_API_RATE_LIMITED, for all of them
   */
  async submitAll(
    requests: readonly IssueRequest[],
    caller: Principal,
    idempotencyKey?: string,
  ): Promise<PromiseSettledResult<Submitted>[]> {
    this.limit.take(caller, requests.length);
    const results = new Array<PromiseSettledResult<Submitted>>(requests.length);
    let next = 0;
    const work = async (): Promise<void> => {
      for (let index = next++; index < requests.length; index = next++) {
        const key = idempotencyKey === undefined ? undefined : `${idempotencyKey} ${index}`;
        [results[index]] = await Promise.allSettled([this.#submit(requests[index], caller, key)]);
      }
    };
    await Promise.all(Array.from({ length: Math.min(batchConcurrency, requests.length) }, work));
    return results;
  }

  /** @throws as `submit`; {CaError} ERR_CA_RENEWAL_REFUSED */
  async renew(
    serial: string,
    csr: Buffer | string | undefined,
    caller: Principal,
    idempotencyKey?: string,
  ): Promise<IssuedCertificate> {
    this.limit.take(caller, 1);
    const { requester } = caller;
    const stop = this.metrics.startIssuance();
    const mayUse = (profile: string): void => assertMayUse(caller, 'certificates:issue', profile);
    const issued = await this.authority.renew(serial, { csr, requester, idempotencyKey, mayUse });
    stop('renewal');
    return issued;
  }

  async #submit({ csr, profile }: IssueRequest, caller: Principal, idempotencyKey?: string): Promise<Submitted> {
    assertMayUse(caller, 'certificates:issue', profile);
    const { requester } = caller;
    if (this.authority.profiles.get(profile)?.approval === true)
      return { order: await this.orders.place({ csr, profile, requester, idempotencyKey }) };
    const stop = this.metrics.startIssuance();
    const issued = await this.authority.issue(csr, profile, { requester, idempotencyKey });
    stop(profile);
    return { issued };
  }
}
