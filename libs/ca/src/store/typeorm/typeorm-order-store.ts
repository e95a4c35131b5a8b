import { type DataSource, IsNull, MoreThan, Not, type Repository } from 'typeorm';
import type { OrderDecision, OrderRecord, OrderStore, PendingOrdersQuery } from '../order-store.js';
import { OrderEntity } from './order.entity.js';
import { withStore } from './store-error.js';

/** Orders in SQLite or PostgreSQL. */
export class TypeOrmOrderStore implements OrderStore {
  readonly #rows: Repository<OrderEntity>;

  constructor(dataSource: DataSource) {
    this.#rows = dataSource.getRepository(OrderEntity);
  }

  async insert(order: OrderRecord): Promise<boolean> {
    const statement = this.#rows
      .createQueryBuilder()
      .insert()
      .values({ ...order, names: [...order.names] });
    await withStore('store an order', () => statement.orIgnore().updateEntity(false).execute());
    return (await this.find(order.id)) !== undefined;
  }

  async find(id: string): Promise<OrderRecord | undefined> {
    return (await withStore('find an order', () => this.#rows.findOneBy({ id }))) ?? undefined;
  }

  async findByIdempotencyKey(idempotencyKey: string): Promise<OrderRecord | undefined> {
    return (await withStore('find an order by its key', () => this.#rows.findOneBy({ idempotencyKey }))) ?? undefined;
  }

  async forgetIdempotencyKey(id: string): Promise<void> {
    const change = { idempotencyKey: () => 'NULL' };
    await withStore('forget an idempotency key', () => this.#rows.update({ id }, change));
  }

  async listPending(now: Date, limit: number, { after, profiles }: PendingOrdersQuery): Promise<OrderRecord[]> {
    const query = this.#rows
      .createQueryBuilder('o')
      .where(`o.state = 'pending' AND o.expires_at > :now`, { now: now.getTime() })
      .orderBy({ 'o.created_at': 'ASC', 'o.id': 'ASC' })
      .limit(limit);
    if (after !== undefined)
      query.andWhere('(o.created_at, o.id) > (:createdAt, :id)', {
        createdAt: after.createdAt.getTime(),
        id: after.id,
      });
    if (profiles !== undefined) query.andWhere('o.profile IN (:...profiles)', { profiles: [...profiles] });
    return withStore('list pending orders', () => query.getMany());
  }

  async listApproved(requester: string, profile: string, limit: number): Promise<OrderRecord[]> {
    const where = { state: 'approved', requester, profile, serial: IsNull() } as const;
    const order = { createdAt: 'DESC' } as const;
    return withStore('list approved orders', () => this.#rows.find({ where, order, take: limit }));
  }

  async countPending(requester: string, now: Date): Promise<number> {
    const where = { requester, state: 'pending', expiresAt: MoreThan(now) } as const;
    return withStore('count pending orders', () => this.#rows.countBy(where));
  }

  async decide({ id, ...decision }: OrderDecision): Promise<boolean> {
    const { decidedBy, decidedAt } = decision;
    const undecided = { id, state: 'pending', expiresAt: MoreThan(decidedAt), requester: Not(decidedBy) } as const;
    const { affected } = await withStore('decide an order', () => this.#rows.update(undecided, decision));
    return affected === 1;
  }

  async complete(id: string, serial: string): Promise<void> {
    await withStore('complete an order', () => this.#rows.update({ id, state: 'approved' }, { serial }));
  }
}
