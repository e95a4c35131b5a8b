import { certificateKeyId } from '../authority/ca-key.js';
import type { Issuers } from '../authority/issuers.js';
import { approvedOrderOf } from '../approval/approved-order.js';
import { CaError, isCaError } from '../errors.js';
import type { CaObserver } from '../observer.js';
import { responderProfileName } from '../ocsp/responder-order.js';
import type { IssuancePolicy } from '../request/issuance-policy.js';
import type { CertificateStatus } from '../revocation/certificate-status.js';
import type { CertificateRecord, CertificateStore } from '../store/certificate-store.js';
import type { OrderRecord, OrderStore } from '../store/order-store.js';
import type { DecisionSeals } from './decision-seals.js';
import type { UnfinishedOrder } from './certificate-order.js';
import { decisionOf, type Issuance, recoveryRefused } from './issuance.js';
import type { Issuer } from './issuer.js';

export interface RecoveryContext {
  readonly certificates: CertificateStore;
  readonly orders: Pick<OrderStore, 'listApproved' | 'complete'>;
  readonly issuance: Issuance;
  readonly seals: DecisionSeals;
  readonly policy: IssuancePolicy;
  readonly status: Pick<CertificateStatus, 'revoke' | 'unfinishedResponder'>;
  readonly issuers: Pick<Issuers, 'generations'>;
  /** CAs above them whose keys are at hand. */
  readonly superiors: readonly Pick<Issuer, 'id'>[];
  readonly observer: CaObserver;
  readonly now: () => Date;
}

/**
 * What a crash left behind. A row in `signing` may have been signed, so it is completed with the TBS it has, or revoked when that
 * would not be issued today; a reserved one whose ticket has expired is voided.
 */
export class Recovery {
  readonly #reported = new Set<string>();

  constructor(private readonly context: RecoveryContext) {}

  /**
   * Completes what may be completed, of whatever age. What is refused is left to `run`: another replica may be signing it at this
   * moment, by a policy that this process does not have yet.
   * @throws {CaError} ERR_CA_STORE_UNAVAILABLE
   */
  async resume(): Promise<void> {
    await this.#recover();
  }

  /**
   * The scheduled job, for rows whose ticket has expired. What is refused is revoked; what a CA above the issuers was to sign is
   * reported once, since only whoever began it can finish it.
   * @throws {CaError} ERR_CA_STORE_UNAVAILABLE
   */
  async run(): Promise<void> {
    const now = this.context.now();
    await this.#recover(now);
    for (const issuerId of this.#superiorIds()) {
      for await (const { serial } of this.#unfinished(issuerId, now))
        this.#reportOnce(
          serial,
          recoveryRefused(serial, `it finished by whoever began it, or revoked, below CA ${issuerId}`),
        );
    }
  }

  #superiorIds(): Set<string> {
    const { issuers, superiors } = this.context;
    const above = issuers.generations.flatMap(({ issuer }) => issuer.chain.slice(1).map(certificateKeyId));
    return new Set([...above, ...superiors.map(({ id }) => id)]);
  }

  async #recover(expiredBefore?: Date): Promise<void> {
    const { certificates, observer, issuers, now } = this.context;
    for (const { issuer } of issuers.generations) {
      try {
        for await (const row of this.#unfinished(issuer.id, expiredBefore))
          await this.#recoverRow(issuer, row, expiredBefore !== undefined);
      } catch (error) {
        if (isCaError(error, 'ERR_CA_STORE_UNAVAILABLE')) throw error;
        // Its key is away: the next issuer's may not be.
        observer.jobFailed?.('recovery', error);
      }
    }
    await certificates.voidExpired(now());
  }

  async *#unfinished(issuerId: string, expiredBefore?: Date): AsyncIterable<CertificateRecord> {
    let page: CertificateRecord[] = [];
    do {
      page = await this.context.certificates.listSigning(issuerId, expiredBefore, page.at(-1));
      yield* page;
    } while (page.length > 0);
  }

  /** @throws {CaError} ERR_CA_STORE_UNAVAILABLE @throws {HsmError} */
  async #recoverRow(issuer: Issuer, row: CertificateRecord, mayRevoke: boolean): Promise<void> {
    const { issuance, orders } = this.context;
    try {
      this.#assertOwn(row);
      const approved = await this.#approval(row);
      await issuance.complete(row, await this.#decideAgain(issuer, row, approved));
      if (approved !== undefined) await orders.complete(approved.id, row.serial);
    } catch (error) {
      if (!(error instanceof CaError) || error.code === 'ERR_CA_STORE_UNAVAILABLE') throw error;
      if (error.code !== 'ERR_CA_RECOVERY_REFUSED') this.context.observer.jobFailed?.('recovery', error);
      else if (mayRevoke) await this.#revoke(row, error);
    }
  }

  /** Whoever can write to the database could have put the row there, and chosen its TBS. @throws {CaError} ERR_CA_RECOVERY_REFUSED */
  #assertOwn(row: CertificateRecord): void {
    if (!this.context.seals.isSealed(row.seal, 'certificate', decisionOf(row)))
      throw recoveryRefused(row.serial, 'the seal of this CA on it');
  }

  /**
   * Under a profile that asks for approval, the order that was approved.
   * @throws {CaError} ERR_CA_RECOVERY_REFUSED when there is none of the profile as it is | ERR_CA_STORE_UNAVAILABLE
   */
  async #approval(row: CertificateRecord): Promise<OrderRecord | undefined> {
    const { policy, orders, seals } = this.context;
    const profile = policy.profiles.get(row.profile);
    if (profile?.approval !== true) return undefined;
    const approved = await approvedOrderOf(orders, seals, row);
    if (approved?.profileVersion === profile.version) return approved;
    throw recoveryRefused(row.serial, `an approved order of profile ${profile.name} as it is now, that led to it`);
  }

  /**
   * The order of an unfinished row by today's policy, decided again from the CSR that was approved if there is one: a row of the
   * database is no leave to sign.
   * @throws {CaError} ERR_CA_RECOVERY_REFUSED | ERR_CA_STORE_UNAVAILABLE
   * @throws {HsmError}
   */
  async #decideAgain(
    issuer: Issuer,
    row: CertificateRecord,
    approved: OrderRecord | undefined,
  ): Promise<UnfinishedOrder> {
    const { policy, status, now } = this.context;
    // The CA's own, that no policy for requesters knows.
    const own = row.profile === responderProfileName ? await status.unfinishedResponder(issuer) : undefined;
    if (own !== undefined) return own;
    try {
      if (approved === undefined) return policy.orderOf({ ...row, tbs: row.tbs ?? Buffer.alloc(0) }, issuer);
      const who = { requester: row.requester, approver: approved.decidedBy };
      return await policy.order(approved.csr, policy.profile(row.profile), issuer, who, now());
    } catch (error) {
      throw recoveryRefused(row.serial, 'a TBS that would be issued today', error);
    }
  }

  /** Nobody has the certificate, and nobody who might have it is to rely on it. @throws {CaError} ERR_CA_STORE_UNAVAILABLE */
  async #revoke({ serial, seal }: CertificateRecord, refusal: CaError): Promise<void> {
    const { certificates, status, observer } = this.context;
    // Another replica was faster.
    if ((await certificates.find(serial))?.state !== 'signing') return;
    try {
      await status.revoke(serial, { requester: 'recovery', includesOwn: true });
      // Without a seal it is one that the token refused to sign.
      if (seal !== undefined) observer.jobFailed?.('recovery', refusal);
    } catch (error) {
      if (!(error instanceof CaError) || error.code === 'ERR_CA_STORE_UNAVAILABLE') throw error;
      this.#reportOnce(serial, error);
    }
  }

  #reportOnce(serial: string, error: CaError): void {
    if (this.#reported.has(serial)) return;
    this.#reported.add(serial);
    this.context.observer.jobFailed?.('recovery', error);
  }
}
