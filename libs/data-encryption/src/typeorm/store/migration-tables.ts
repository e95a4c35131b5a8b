import { type QueryRunner, Table, type TableIndexOptions } from 'typeorm';
import type { TableColumnOptions } from 'typeorm/schema-builder/options/TableColumnOptions.js';
import { databaseType } from '../database-type.js';
import { libraryText } from '../mariadb/library-text.js';

/** A column of text, of at most so many characters. */
export function varchar(name: string, length: number, options: Partial<TableColumnOptions> = {}): TableColumnOptions {
  return { name, type: 'varchar', length: String(length), ...options };
}

export function isMariadb({ dataSource }: QueryRunner): boolean {
  return databaseType(dataSource) === 'mariadb';
}

/**
 * Makes a table with its indexes. On MariaDB, where no rollback takes a table back, one that is there was made when the migration was
 * ended before.
 */
export async function createTable(
  queryRunner: QueryRunner,
  name: string,
  columns: readonly TableColumnOptions[],
  { engine, indices = [] }: { engine?: string; indices?: TableIndexOptions[] } = {},
): Promise<void> {
  const isMaria = isMariadb(queryRunner);
  const fitted = isMaria ? columns.map(fitColumn) : [...columns];
  await queryRunner.createTable(new Table({ name, columns: fitted, engine, indices }), isMaria);
}

/** As `fitColumns` does with the entities. */
function fitColumn(column: TableColumnOptions): TableColumnOptions {
  const isText = column.type === 'varchar' || column.type === 'text';
  if (!isText) return column;
  return { ...column, ...libraryText, type: column.type === 'text' ? 'longtext' : column.type };
}
