import type { QueryRunner } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import {
  type CellStatements,
  isRow,
  isUnchanged,
  type NamedColumn,
  type UnchangedUpdate,
} from '../lifecycle/unchanged-update.js';

const octetTypes = new Set(['binary', 'varbinary', 'tinyblob', 'blob', 'mediumblob', 'longblob', 'bit']);

export const mariadbStatements: CellStatements = {
  parameter: () => '?',
  textOf(name, column) {
    const type = column.entityMetadata.dataSource.driver.normalizeType(column);
    if (octetTypes.has(type)) return `hex(${name})`;
    // A float is written with six digits, of which several floats have the same.
    return `cast(${type === 'float' ? `${name} + 0e0` : name} AS char CHARACTER SET utf8mb4)`;
  },
  // Past every collation.
  isSame: (left, right) => `cast(${left} AS binary) <=> cast(${right} AS binary)`,
  /** In a transaction of its own: it has no statement that leaves locked rows and updates the others. */
  async update(session, update) {
    await session.startTransaction();
    try {
      const free = await freeRows(session, update);
      const affected = free.length === 0 ? 0 : await updateRows(session, { ...update, rows: free });
      await session.commitTransaction();
      return affected;
    } catch (error) {
      // The first error says what happened; a connection that cannot roll back is closed by the database.
      await session.rollbackTransaction().catch(() => undefined);
      if (isAwaited(error)) return 0;
      throw error;
    }
  },
};

/** Somebody holds what a row needs in an index: it is left for later as one that he holds himself. */
function isAwaited(error: unknown): boolean {
  const { driverError } = error as { driverError?: { code?: unknown } };
  return driverError?.code === 'ER_LOCK_DEADLOCK' || driverError?.code === 'ER_LOCK_WAIT_TIMEOUT';
}

/** Locks those rows that nobody has locked: who has is about to write. */
async function freeRows(session: QueryRunner, { path, keys, rows }: UnchangedUpdate): Promise<UnchangedUpdate['rows']> {
  const columns = ['place FOR ORDINALITY', ...keys.map(keyColumn)].join(', ');
  const sql =
    `SELECT source.place AS place FROM JSON_TABLE(?, '$[*]' COLUMNS (${columns})) AS source ` +
    `STRAIGHT_JOIN ${path} AS locked ON ${isRow('locked', keys)} FOR UPDATE SKIP LOCKED`;
  const document = JSON.stringify(rows.map((row) => row.slice(0, keys.length)));
  const free = (await session.query(sql, [document])) as { place: number | string }[];
  return free.map(({ place }) => rows[Number(place) - 1]);
}

async function updateRows(session: QueryRunner, update: UnchangedUpdate): Promise<number> {
  const { path, keys, names, set, rows } = update;
  const columns = [
    ...keys.map(keyColumn),
    ...names
      .slice(keys.length)
      .map((name, index) => `${name} longtext CHARACTER SET utf8mb4 PATH '$[${keys.length + index}]'`),
  ];
  // In this order, each row by its key, as which a value of the document is declared: the table is not searched.
  const sql =
    `UPDATE JSON_TABLE(?, '$[*]' COLUMNS (${columns.join(', ')})) AS source STRAIGHT_JOIN ${path} AS cell_table ` +
    `ON ${isRow('cell_table', keys)} SET ${set.map((each) => `cell_table.${each}`).join(', ')} ` +
    `WHERE ${isUnchanged(update, mariadbStatements)}`;
  return (await session.query(sql, [JSON.stringify(rows)], true)).affected ?? 0;
}

/** Without a collation of its own, which lets the key's prevail. */
function keyColumn({ column }: NamedColumn, index: number): string {
  return `k${index} ${keyType(column)} PATH '$[${index}]'`;
}

function keyType(column: ColumnMetadata): string {
  const { driver } = column.entityMetadata.dataSource;
  const type = driver.normalizeType(column);
  if (type === 'uuid') return 'char(36)';
  if (type === 'varchar') return `varchar(${driver.getColumnLength(column)}) CHARACTER SET utf8mb4`;
  return column.unsigned ? 'bigint unsigned' : 'bigint';
}
