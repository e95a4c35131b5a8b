import { type DataSource, type EntityManager, Not, type QueryRunner } from 'typeorm';
import { type DataKeyRecord, type DataKeyStore, maximumMessages, type WrappedDataKey } from '../../data-key.js';
import type { DataKeyId } from '../../envelope.js';
import { type KeyScope, scopeName } from '../../key-scope.js';
import { isShredded, shredded } from '../../tenant.js';
import { keyUnavailable } from '../../errors.js';
import { databaseType } from '../database-type.js';
import { isInTransaction, onOwnConnection, outsideTransactions, updateForGood } from './application-transaction.js';
import { DataKeyEntity, scopeDigest } from './data-key.entity.js';
import type { ShreddingStore } from './shredding.store.js';

/** Keys asked for at once, below every database's limit of parameters. */
const batchSize = 500;

/** Data keys in a table of the database whose cells they encrypt. */
export class TypeOrmDataKeyStore implements DataKeyStore<QueryRunner> {
  constructor(
    private readonly dataSource: DataSource,
    private readonly tombstones: ShreddingStore,
  ) {}

  async findActive({ tableId, columnId, tenant }: KeyScope): Promise<DataKeyRecord | undefined> {
    const place = { purpose: 'cell', tableId, columnId, tenant };
    return onOwnConnection(this.dataSource, async (manager) => {
      const found = await manager.findOneBy(DataKeyEntity, { ...place, state: 'active' });
      return found === null ? undefined : toRecord(found);
    });
  }

  async find(ids: readonly DataKeyId[], session?: QueryRunner): Promise<readonly DataKeyRecord[]> {
    const read = async (manager: EntityManager) => {
      const found: DataKeyEntity[] = [];
      for (let start = 0; start < ids.length; start += batchSize) {
        const batch = ids.slice(start, start + batchSize);
        found.push(
          ...(await manager
            .createQueryBuilder(DataKeyEntity, 'key')
            .where('key.id IN (:...batch)', { batch })
            .getMany()),
        );
      }
      return found.map(toRecord);
    };
    if (session === undefined) return onOwnConnection(this.dataSource, read);
    const found = await read(session.manager);
    // Of MariaDB's transactions each sees what there was when it began, and by locks also rows of keys that came later.
    const isOld =
      found.length < ids.length && session.isTransactionActive && databaseType(this.dataSource) === 'mariadb';
    return isOld ? onOwnConnection(this.dataSource, read) : found;
  }

  async findIndexKeys(tableId: string, tenant: string, session?: QueryRunner): Promise<readonly DataKeyRecord[]> {
    const read = async (manager: EntityManager) =>
      (await manager.findBy(DataKeyEntity, { purpose: 'index', tableId, tenant })).map(toRecord);
    return session === undefined ? onOwnConnection(this.dataSource, read) : read(session.manager);
  }

  async add(record: DataKeyRecord): Promise<boolean> {
    // SQLite has one connection: a key stored inside a transaction of the application would go with it, and cells would stay.
    if (isInTransaction(this.dataSource))
      throw keyUnavailable('data key: want the connection free to store it, got it in a transaction');
    await this.refuseShredded(record);
    const row = toRow(record);
    return onOwnConnection(this.dataSource, async (manager) => {
      // One that somebody has retired by a statement of his own keeps no other from its place.
      if (row.activeScope !== null)
        await updateForGood(
          manager,
          DataKeyEntity,
          { activeScope: row.activeScope, state: Not('active') },
          { activeScope: null },
        );
      await manager
        .createQueryBuilder()
        .insert()
        .into(DataKeyEntity)
        .values(row)
        .orIgnore()
        .updateEntity(false)
        .callListeners(false)
        .execute();
      // One may have begun just before the insert was made: the key is stored when it is there with none open.
      await outsideTransactions(this.dataSource);
      await this.#removeShredded(manager, record);
      return manager.existsBy(DataKeyEntity, { id: record.id });
    });
  }

  async reserve(id: DataKeyId, messages: number, knownMessages: number): Promise<number | undefined> {
    return onOwnConnection(this.dataSource, async (manager) => {
      // Inside a transaction of SQLite's one connection an earlier reservation may have been rolled back.
      const reserved = 'CASE WHEN reserved_messages < :known THEN :known ELSE reserved_messages END + :messages';
      const { affected } = await manager
        .createQueryBuilder()
        .update(DataKeyEntity)
        .set({ reservedMessages: () => reserved })
        .where('id = :id', { id })
        .andWhere(`state = 'active'`)
        .andWhere(`${reserved} <= :maximum`, { maximum: maximumMessages, known: knownMessages, messages })
        .callListeners(false)
        .execute();
      if (affected !== 1) return undefined;
      const found = await manager.findOneByOrFail(DataKeyEntity, { id });
      return found.reservedMessages;
    });
  }

  async retire(id: DataKeyId): Promise<void> {
    await onOwnConnection(this.dataSource, (manager) =>
      manager
        .createQueryBuilder()
        .update(DataKeyEntity)
        .set({ state: 'retired', activeScope: null })
        .where('id = :id', { id })
        .andWhere(`state = 'active'`)
        .callListeners(false)
        .execute(),
    );
  }

  async list(after: DataKeyId | undefined, limit: number): Promise<readonly DataKeyRecord[]> {
    return onOwnConnection(this.dataSource, async (manager) => {
      const found = manager.createQueryBuilder(DataKeyEntity, 'key').orderBy('key.id').limit(limit);
      return (await (after === undefined ? found : found.where('key.id > :after', { after })).getMany()).map(toRecord);
    });
  }

  async rewrap(record: DataKeyRecord, { kekVersion, wrapped }: WrappedDataKey): Promise<boolean> {
    const was = { id: record.id, kekVersion: record.kekVersion, wrapped: record.wrapped.toString('base64') };
    const becomes = { kekVersion, wrapped: wrapped.toString('base64') };
    return onOwnConnection(this.dataSource, async (manager) => {
      // Rolled back, a key would be under a KEK that is believed to be unused.
      const affected = await updateForGood(manager, DataKeyEntity, was, becomes);
      return affected === 1 && (await manager.existsBy(DataKeyEntity, { ...was, ...becomes }));
    });
  }

  async refuseShredded(scope: KeyScope): Promise<void> {
    if (scope.tenant === '') return;
    if ((await this.tombstones.shreddedOf([scope.tenant])).length > 0) throw shredded(scopeName(scope));
  }

  /** The tombstone may have been written while the key was stored: nothing has been written with it. */
  async #removeShredded(manager: EntityManager, record: DataKeyRecord): Promise<void> {
    try {
      await this.refuseShredded(record);
    } catch (error) {
      if (isShredded(error)) await manager.delete(DataKeyEntity, { id: record.id });
      throw error;
    }
  }
}

function toRow(record: DataKeyRecord): DataKeyEntity {
  return Object.assign(new DataKeyEntity(), {
    ...record,
    wrapped: record.wrapped.toString('base64'),
    commitment: record.commitment.toString('hex'),
    activeScope: record.state === 'active' ? scopeDigest(record) : null,
    createdAt: new Date().toISOString(),
  });
}

function toRecord(row: DataKeyEntity): DataKeyRecord {
  return {
    id: row.id as DataKeyId,
    purpose: row.purpose === 'index' ? 'index' : 'cell',
    tableId: row.tableId,
    columnId: row.columnId,
    tenant: row.tenant,
    algorithm: row.algorithm,
    kekVersion: row.kekVersion,
    wrapped: Buffer.from(row.wrapped, 'base64'),
    commitment: Buffer.from(row.commitment, 'hex'),
    state: row.state === 'active' || row.state === 'shredded' ? row.state : 'retired',
    reservedMessages: row.reservedMessages,
  };
}
