import { hostname } from 'node:os';
import { type DataSource, type EntityManager, In, Not, type QueryRunner } from 'typeorm';
import type { TombstoneStore } from '../../shredding/tombstones.js';
import type { Tenant } from '../../tenant.js';
import { databaseType } from '../database-type.js';
import { isInTransaction, onOwnConnection, outsideTransactions, updateForGood } from './application-transaction.js';
import { DataKeyEntity } from './data-key.entity.js';
import { ProcessEntity, ShreddingEntity } from './shredding.entity.js';

/** KEKs asked for at once, below every database's limit of parameters. */
const batchSize = 500;

/** The tombstones of tenants, and who has seen them, beside the data that is shredded. */
export class ShreddingStore implements TombstoneStore {
  constructor(private readonly dataSource: DataSource) {}

  get isBusy(): boolean {
    return isInTransaction(this.dataSource);
  }

  async waiting(): Promise<readonly Tenant[]> {
    return onOwnConnection(this.dataSource, async (manager) => {
      const rows = await manager.find(ShreddingEntity, { select: { tenant: true }, where: { state: 'waiting' } });
      return rows.map(({ tenant }) => tenant);
    });
  }

  async beat(id: string): Promise<boolean> {
    return onOwnConnection(this.dataSource, async (manager) => {
      const { affected } = await manager
        .createQueryBuilder()
        .update(ProcessEntity)
        .set({ beats: () => 'beats + 1' })
        .where('id = :id', { id })
        .callListeners(false)
        .execute();
      if (affected === 1) return true;
      await this.#insert(manager, ProcessEntity, { id, host: hostname().slice(0, 255), pid: process.pid, beats: 1 });
      // Inside a transaction of SQLite's one connection it may have been rolled back.
      if (!(await manager.existsBy(ProcessEntity, { id }))) throw new Error('a row of this process, got none');
      return false;
    });
  }

  async leave(id: string): Promise<void> {
    await onOwnConnection(this.dataSource, (manager) => manager.delete(ProcessEntity, { id }));
  }

  async processes(): Promise<readonly ProcessEntity[]> {
    return onOwnConnection(this.dataSource, (manager) => manager.find(ProcessEntity));
  }

  /** @param session  the connection of a writer, whose transaction must not commit what it could no longer begin */
  async shreddedOf(tenants: readonly Tenant[], session?: QueryRunner): Promise<readonly Tenant[]> {
    // MariaDB's transactions see what there was when they began. By a lock they see what there is, and it stays so until they end.
    const isOld = (session?.isTransactionActive ?? false) && databaseType(this.dataSource) === 'mariadb';
    const read = async (manager: EntityManager) => {
      const rows = await manager.find(ShreddingEntity, {
        select: { tenant: true },
        where: { tenant: In([...tenants]) },
        ...(isOld ? { lock: { mode: 'pessimistic_read' } } : {}),
      });
      return rows.map(({ tenant }) => tenant);
    };
    return session === undefined ? onOwnConnection(this.dataSource, read) : read(session.manager);
  }

  async find(tenant: Tenant): Promise<ShreddingEntity | undefined> {
    return onOwnConnection(
      this.dataSource,
      async (manager) => (await manager.findOneBy(ShreddingEntity, { tenant })) ?? undefined,
    );
  }

  /** Writes the tombstone, unless there is one, so that no rollback can take it away. */
  async begin(tenant: Tenant, operator: string): Promise<ShreddingEntity> {
    return onOwnConnection(this.dataSource, async (manager) => {
      await outsideTransactions(this.dataSource);
      const begunAt = new Date().toISOString();
      await this.#insert(manager, ShreddingEntity, { tenant, state: 'waiting', operator, begunAt });
      await outsideTransactions(this.dataSource);
      return manager.findOneByOrFail(ShreddingEntity, { tenant });
    });
  }

  /** Leaves nothing of a tenant's data keys to be opened. */
  async bury(tenant: Tenant): Promise<void> {
    await onOwnConnection(this.dataSource, async (manager) => {
      await updateForGood(manager, DataKeyEntity, { tenant }, { state: 'shredded', activeScope: null, wrapped: '' });
    });
  }

  /** Under which KEKs the tenant's data keys were: the CKA_ID of each. */
  async keksOf(tenant: Tenant): Promise<{ readonly keks: readonly string[]; readonly dataKeys: number }> {
    return onOwnConnection(this.dataSource, async (manager) => {
      const rows = await manager.find(DataKeyEntity, { select: { id: true, kekVersion: true }, where: { tenant } });
      return { keks: [...new Set(rows.map(({ kekVersion }) => kekVersion))], dataKeys: rows.length };
    });
  }

  /** How many data keys that are not shredded are under these KEKs. */
  async dataKeysUnder(keks: readonly string[]): Promise<number> {
    return onOwnConnection(this.dataSource, async (manager) => {
      await outsideTransactions(this.dataSource);
      let count = 0;
      for (let start = 0; start < keks.length; start += batchSize) {
        const kekVersion = In(keks.slice(start, start + batchSize));
        count += await manager.countBy(DataKeyEntity, { kekVersion, state: Not('shredded') });
      }
      return count;
    });
  }

  /**
   * Changes a tombstone that still is as it was read.
   * @returns false when another process was faster
   */
  async update(
    tenant: Tenant,
    was: Pick<ShreddingEntity, 'receipt' | 'state'>,
    change: Partial<Omit<ShreddingEntity, 'tenant'>>,
  ): Promise<boolean> {
    return onOwnConnection(
      this.dataSource,
      async (manager) => (await updateForGood(manager, ShreddingEntity, { tenant, ...was }, change)) === 1,
    );
  }

  async #insert<Row extends object>(manager: EntityManager, entity: new () => Row, row: Partial<Row>): Promise<void> {
    const insert = manager
      .createQueryBuilder()
      .insert()
      .into(entity)
      .values(row as object);
    await insert.orIgnore().updateEntity(false).callListeners(false).execute();
  }
}
