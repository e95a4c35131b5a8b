import { type KekHolder, withDataEncryption } from '@nest-hsm/data-encryption';
import { DataSource, type DataSourceOptions, type EntityTarget } from 'typeorm';
import { EncryptedRow, IndexedRow, PlainRow, SearchableRow } from './entities.js';
import type { RowsTask } from './task.js';

const entities = { encrypted: EncryptedRow, plain: PlainRow, searchable: SearchableRow, indexed: IndexedRow };

/** An empty table, encrypted or not. */
export async function openDataSource({ database, columns }: RowsTask, hsm: KekHolder) {
  const { type, place } = database;
  const entity = entities[columns];
  const dataSource = new DataSource({
    type,
    ...(type === 'postgres' ? { url: place } : { database: place }),
    entities: [entity],
    synchronize: true,
    dropSchema: true,
  } as DataSourceOptions);
  if (columns === 'encrypted' || columns === 'searchable') {
    // A short lease, since encrypting anew waits for two of them.
    withDataEncryption(dataSource, { hsm, kekLabel: 'bench', createKek: true, databaseId: 'bench', leaseSeconds: 1 });
  }
  return { dataSource: await dataSource.initialize(), entity };
}

/** Rows of one statement: SQLite takes 32,766 parameters in one, and applications write in such portions. */
const rowsOfStatement = 500;

export async function insertRows(
  { dataSource, entity }: { readonly dataSource: DataSource; readonly entity: EntityTarget<PlainRow> },
  rows: readonly Partial<PlainRow>[],
): Promise<void> {
  await dataSource.transaction(async (manager) => {
    for (let start = 0; start < rows.length; start += rowsOfStatement) {
      await manager.insert(entity, rows.slice(start, start + rowsOfStatement));
    }
  });
}
