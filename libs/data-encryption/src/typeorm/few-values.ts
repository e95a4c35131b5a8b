import type { DataSource } from 'typeorm';
import type { IndexedColumn } from './encrypted-entity.js';

/** How many rows are looked at, from how many on something can be said, and how many distinct values are few. */
const sampledRows = 1_000;
const leastRows = 200;
const fewValues = 20;

/**
 * Warns of searchable columns of few distinct values: their index says how often each occurs, and so which it is. It is no more than
 * a warning, and whatever keeps it from looking is none.
 */
export async function warnOfFewValues(
  dataSource: DataSource,
  columns: Iterable<Pick<IndexedColumn, 'column' | 'index'>>,
): Promise<void> {
  const warned = new Set<string>();
  for (const { column, index } of columns) {
    const { tablePath } = column.entityMetadata;
    const key = `${tablePath}.${column.databaseName}`;
    if (warned.has(key)) continue;
    warned.add(key);
    try {
      if (await hasFewValues(dataSource, tablePath, column.databaseName)) warn(index.name);
    } catch {
      // The table is not made yet, or the database is away.
    }
  }
}

/** PostgreSQL's driver gives text. */
interface Counts {
  readonly found: number | string;
  readonly different: number | string;
}

async function hasFewValues({ driver, manager }: DataSource, tablePath: string, column: string): Promise<boolean> {
  const name = driver.escape(column);
  const table = tablePath.split('.').map((part) => driver.escape(part));
  const [{ found, different }] = await manager.query<Counts[]>(
    `SELECT count(*) AS found, count(DISTINCT value) AS different ` +
      `FROM (SELECT ${name} AS value FROM ${table.join('.')} WHERE ${name} IS NOT NULL LIMIT ${sampledRows}) AS sample`,
  );
  return Number(found) >= leastRows && Number(different) <= fewValues;
}

function warn(name: string): void {
  process.emitWarning(
    `${name}: want a searchable column of many distinct values, got one of at most ${fewValues}: ` +
      'how often each occurs shows which it is',
    { code: 'NEST_HSM_DATA_FEW_VALUES' },
  );
}
