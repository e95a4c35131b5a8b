import { randomBytes } from 'node:crypto';
import type { CertificateAuthority } from '../certificate-authority.js';
import { CaError } from '../errors.js';
import { placementOf } from './approved-order.js';
import {
  assertSameRequest,
  type Idempotency,
  idempotencyMilliseconds,
  idempotencyOf,
} from '../issuance/idempotency.js';
import type { IssuedCertificate } from '../issuance/issuance.js';
import { csrDer } from '../request/csr.js';
import type { OrderRecord, OrderStore } from '../store/order-store.js';

export interface OrderRequest {
  /** PKCS #10, DER or PEM. */
  readonly csr: Uint8Array | string;
  readonly profile: string;
  readonly requester: string;
  readonly idempotencyKey?: string;
}

export interface OrdersOptions {
  readonly authority: CertificateAuthority;
  readonly orders: OrderStore;
  /** How long an order waits. */
  readonly hours: number;
  readonly now?: () => Date;
}

/** Most pending orders of one requester. */
const maximumPending = 1_000;
const maximumReason = 1_000;

/**
 * Requests under profiles that ask for approval. The CSR is decided about when it comes, so that nobody has to look at what would
 * be refused anyway, and again when it is approved, by somebody else than its requester. What is approved is issued once.
 */
export class Orders {
  readonly #now: () => Date;

  constructor(private readonly options: OrdersOptions) {
    this.#now = options.now ?? (() => new Date());
  }

  /**
   * Keeps a request until it is decided.
   * @throws {CaError} as `CertificateAuthority.issue`; ERR_CA_OVERLOADED when the requester has 1000 pending ones
   */
  async place({ csr, profile, requester, idempotencyKey }: OrderRequest): Promise<OrderRecord> {
    const { authority, orders, hours } = this.options;
    const der = csrDer(csr);
    const idempotency =
      idempotencyKey === undefined ? undefined : idempotencyOf(requester, ['key', idempotencyKey], [profile, der]);
    const before = idempotency && (await this.#placedBefore(idempotency));
    if (before !== undefined) return before;
    const names = await authority.inspect(der, profile, requester);
    const now = this.#now();
    if ((await orders.countPending(requester, now)) >= maximumPending)
      throw new CaError('ERR_CA_OVERLOADED', `orders of ${requester}: want at most ${maximumPending} pending`);
    const { version: profileVersion } = authority.profiles.get(profile) ?? { version: '' };
    const placed: OrderRecord = {
      id: randomBytes(16).toString('hex'),
      state: 'pending',
      profile,
      profileVersion,
      requester,
      csr: der,
      names,
      ...idempotency,
      createdAt: now,
      expiresAt: new Date(now.getTime() + hours * 3_600_000),
    };
    const order = { ...placed, seal: authority.seals.seal('order', placementOf(placed)) };
    if (await orders.insert(order)) return order;
    // The same key came twice at once.
    const other = idempotency && (await this.#placedBefore(idempotency));
    if (other !== undefined) return other;
    throw new CaError('ERR_CA_STATE_CONFLICT', `order ${order.id}: want its id free, got it taken`);
  }

  /** As it was placed: what somebody wrote into the database is none. @throws {CaError} ERR_CA_ORDER_NOT_FOUND | ERR_CA_STORE_UNAVAILABLE */
  async find(id: string): Promise<OrderRecord> {
    const { orders } = this.options;
    const order = /^[0-9a-f]{32}$/.test(id) ? await orders.find(id) : undefined;
    if (order === undefined || !this.#isOwn(order))
      throw new CaError('ERR_CA_ORDER_NOT_FOUND', `order: want the id of one, got ${JSON.stringify(id.slice(0, 64))}`);
    return order.state === 'approved' && order.serial === undefined ? this.#withItsCertificate(order) : order;
  }

  /** Orders that wait, the oldest first. @param after  id of the last one of the page before @param profiles  all, when absent */
  async pending(limit: number, after?: string, profiles?: ReadonlySet<string>): Promise<OrderRecord[]> {
    let last = after === undefined ? undefined : await this.find(after);
    const pending: OrderRecord[] = [];
    for (;;) {
      const read = await this.options.orders.listPending(this.#now(), limit, { after: last, profiles });
      pending.push(...read.filter((order) => this.#isOwn(order)));
      // Those that somebody else has put there take no place of others.
      if (read.length < limit || pending.length >= limit) return pending.slice(0, limit);
      last = read[read.length - 1];
    }
  }

  /**
   * Approves an order and issues its certificate. If that fails because the token is away, it may be approved again, and is issued
   * once all the same.
   * @throws {CaError} ERR_CA_APPROVAL_REQUIRED for its own requester | ERR_CA_ORDER_NOT_FOUND | ERR_CA_ORDER_DECIDED; as `CertificateAuthority.issue`
   */
  async approve(id: string, approver: string): Promise<IssuedCertificate> {
    const order = await this.#decide(id, 'approved', approver);
    const { authority } = this.options;
    if (order.serial !== undefined) return authority.find(order.serial);
    this.#assertStillMeant(order);
    const issued = await authority.issueOnce(order.csr, order.profile, ['order', id], {
      requester: order.requester,
      approver: order.decidedBy ?? approver,
    });
    await this.#complete(id, issued.serial);
    return issued;
  }

  /** @throws {CaError} ERR_CA_APPROVAL_REQUIRED for its own requester | ERR_CA_ORDER_NOT_FOUND | ERR_CA_ORDER_DECIDED */
  async refuse(id: string, approver: string, reason?: string): Promise<OrderRecord> {
    return this.#decide(id, 'refused', approver, reason?.slice(0, maximumReason));
  }

  /** A certificate that was issued and not written down here, since the database was away in between, is its certificate all the same. */
  async #withItsCertificate(order: OrderRecord): Promise<OrderRecord> {
    const { id, csr, profile, requester } = order;
    const issued = await this.options.authority.issuedOnce(csr, profile, ['order', id], { requester });
    if (issued === undefined) return order;
    await this.#complete(id, issued.serial);
    return { ...order, serial: issued.serial };
  }

  /** Fails never: what is not written down now is found by its order later. */
  async #complete(id: string, serial: string): Promise<void> {
    await this.options.orders.complete(id, serial).catch(() => undefined);
  }

  #isOwn(order: OrderRecord): boolean {
    return this.options.authority.seals.isSealed(order.seal, 'order', placementOf(order));
  }

  /** What was approved is issued as it was seen, and not years later. @throws {CaError} ERR_CA_ORDER_DECIDED */
  #assertStillMeant({ id, profile, profileVersion, expiresAt }: OrderRecord): void {
    const isSame = this.options.authority.profiles.get(profile)?.version === profileVersion;
    if (isSame && this.#now() < expiresAt) return;
    const got = isSame ? 'an expired one' : `one whose profile ${profile} has changed since`;
    throw new CaError('ERR_CA_ORDER_DECIDED', `order ${id}: want one in force, got ${got}`);
  }

  /** Deciding the same again changes nothing. */
  async #decide(id: string, state: 'approved' | 'refused', decidedBy: string, reason?: string): Promise<OrderRecord> {
    const order = await this.find(id);
    if (order.requester === decidedBy)
      throw new CaError(
        'ERR_CA_APPROVAL_REQUIRED',
        `order ${id}: want the decision of somebody else than ${decidedBy}`,
      );
    if (order.state === state) return order;
    const decision = { id, state, decidedBy, decidedAt: this.#now(), reason };
    if (await this.options.orders.decide(decision)) return { ...order, ...decision };
    const { state: got } = await this.find(id);
    throw new CaError(
      'ERR_CA_ORDER_DECIDED',
      `order ${id}: want a pending one, got ${got === 'pending' ? 'an expired' : `a ${got}`} one`,
    );
  }

  /** A key stands for its first request for a time, and for as long as that one waits. */
  async #placedBefore(idempotency: Idempotency): Promise<OrderRecord | undefined> {
    const { orders } = this.options;
    const order = await orders.findByIdempotencyKey(idempotency.idempotencyKey);
    if (order === undefined) return undefined;
    const { id, state, createdAt, expiresAt } = order;
    const now = this.#now();
    const waits = state === 'pending' && now < expiresAt;
    if (!waits && createdAt.getTime() + idempotencyMilliseconds <= now.getTime()) {
      await orders.forgetIdempotencyKey(id);
      return undefined;
    }
    assertSameRequest(order, idempotency);
    return order;
  }
}
