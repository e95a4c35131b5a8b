import type { DataSource } from 'typeorm';
import { type DatabaseType, databaseType } from '../database-type.js';
import { mariadbStatements } from '../mariadb/cell-statements.js';
import { type CellStatements, isRow, isUnchanged } from './unchanged-update.js';

export function cellStatements(dataSource: DataSource): CellStatements {
  return byDatabase[databaseType(dataSource)];
}

const isNotDistinct = (left: string, right: string) => `${left} IS NOT DISTINCT FROM ${right}`;

const sqliteStatements: CellStatements = {
  parameter: () => '?',
  textOf: (name) => `nullif(quote(${name}), 'NULL')`,
  isSame: isNotDistinct,
  async update(session, update) {
    const { path, set, names, rows } = update;
    // One array for each row, all of them in one JSON document.
    const values = names.map((name, index) => `value ->> ${index} AS ${name}`).join(', ');
    const sql =
      `WITH source AS MATERIALIZED (SELECT ${values} FROM json_each(?)) UPDATE ${path} AS cell_table ` +
      `SET ${set.join(', ')} FROM source WHERE ${isUnchanged(update, this)}`;
    return (await session.query(sql, [JSON.stringify(rows)], true)).affected ?? 0;
  },
};

const postgresStatements: CellStatements = {
  parameter: (index) => `$${index + 1}`,
  textOf: (name) => `${name}::text`,
  isSame: isNotDistinct,
  async update(session, update) {
    const { path, keys, set, names, rows } = update;
    // One array for each column: of keys in their own type, of texts as text.
    const types = keys.map(({ column }) => column.entityMetadata.dataSource.driver.normalizeType(column));
    const arrays = names.map((_, index) => `${this.parameter(index)}::${types[index] ?? 'text'}[]`).join(', ');
    const source = `SELECT * FROM unnest(${arrays}) AS given(${names.join(', ')})`;
    // Who holds a lock is about to write: nobody waits for us while we wait for him.
    const free = `SELECT source.* FROM source JOIN ${path} AS locked ON ${isRow('locked', keys)}`;
    const sql =
      `WITH source AS MATERIALIZED (${source}), free AS MATERIALIZED (${free} FOR NO KEY UPDATE OF locked SKIP LOCKED) ` +
      `UPDATE ${path} AS cell_table SET ${set.join(', ')} FROM free AS source WHERE ${isUnchanged(update, this)}`;
    const columns = names.map((_, index) => rows.map((row) => row[index] ?? null));
    return (await session.query(sql, columns, true)).affected ?? 0;
  },
};

const byDatabase: Readonly<Record<DatabaseType, CellStatements>> = {
  'better-sqlite3': sqliteStatements,
  mariadb: mariadbStatements,
  postgres: postgresStatements,
};
