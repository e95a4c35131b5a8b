import type { DataSource } from 'typeorm';
import type { ColumnCipher } from '../../column-cipher.js';
import { DataEncryptionError } from '../../errors.js';
import type { EncryptedEntities } from '../encrypted-entity.js';
import type { PlaintextColumn, PlaintextPhase } from '../plaintext-column.js';

/** A column on its way between plaintext and cells, and what its rows have. */
export interface PlaintextPlan {
  readonly tableId: string;
  /** `Entity.property` */
  readonly column: string;
  readonly phase: PlaintextPhase;
  /** Names of the database columns. */
  readonly plaintextColumn: string;
  readonly cellColumn: string;
  readonly rows: number;
  readonly both: number;
  readonly plaintextOnly: number;
  readonly cellOnly: number;
  /** Rows without a cell that should have one: with plaintext, and where null is encrypted also those without. */
  readonly withoutCell: number;
}

interface FoundColumn {
  readonly tableId: string;
  readonly cipher: ColumnCipher;
  readonly plaintext: PlaintextColumn;
}

/** Counts what the rows of every such column have. */
export async function planPlaintexts(
  dataSource: DataSource,
  entities: EncryptedEntities,
): Promise<readonly PlaintextPlan[]> {
  const plans: PlaintextPlan[] = [];
  for (const { tableId, cipher, plaintext } of plaintextColumns(entities)) {
    const { table, plain, cell } = namesOf(dataSource, plaintext);
    const [row] = await dataSource.query<Record<string, unknown>[]>(
      `SELECT count(*) AS total, count(${plain}) AS plaintexts, count(${cell}) AS cells, ` +
        `count(CASE WHEN ${plain} IS NOT NULL AND ${cell} IS NOT NULL THEN 1 END) AS pairs FROM ${table}`,
    );
    const [rows, plaintexts, cells, both] = [row.total, row.plaintexts, row.cells, row.pairs].map(Number);
    const counts = { rows, both, plaintextOnly: plaintexts - both, cellOnly: cells - both };
    const withoutCell = cipher.encryptsNull ? rows - cells : counts.plaintextOnly;
    const { phase } = plaintext;
    const names = { plaintextColumn: plaintext.column.databaseName, cellColumn: plaintext.cells.databaseName };
    plans.push({ tableId, column: cipher.name, phase, ...names, ...counts, withoutCell });
  }
  return plans;
}

/**
 * A column that is read from its cells must have them.
 * @throws {DataEncryptionError} ERR_DATA_BACKFILL_INCOMPLETE
 */
export async function refuseMissingCells(dataSource: DataSource, entities: EncryptedEntities): Promise<void> {
  for (const { cipher, plaintext } of plaintextColumns(entities)) {
    const { name, encryptsNull } = cipher;
    const isRead = plaintext.phase !== 'dual-write';
    const lacksCell = ({ plain, cell }: Names) => `${cell} IS NULL${encryptsNull ? '' : ` AND ${plain} IS NOT NULL`}`;
    if (isRead && (await hasRow(dataSource, plaintext, lacksCell))) {
      throw new DataEncryptionError(
        'ERR_DATA_BACKFILL_INCOMPLETE',
        `${name}: want a cell in every row ${encryptsNull ? '' : 'that has plaintext '}before it is read from cells, got rows without; ` +
          'the way out: phase dual-write, then nest-hsm data backfill',
      );
    }
    // Of those who leave; for the others it is a row that an older version of the application has written. A cell may be that of null.
    const lacksPlaintext = ({ plain, cell }: Names) => `${cell} IS NOT NULL AND ${plain} IS NULL`;
    if (!isRead && !encryptsNull && (await hasRow(dataSource, plaintext, lacksPlaintext))) {
      process.emitWarning(`${name}: want plaintext in every row that has a cell while it is read, got rows without`, {
        code: 'NEST_HSM_DATA_PLAINTEXT_MISSING',
      });
    }
  }
}

type Names = ReturnType<typeof namesOf>;

async function hasRow(
  dataSource: DataSource,
  plaintext: PlaintextColumn,
  condition: (names: Names) => string,
): Promise<boolean> {
  const names = namesOf(dataSource, plaintext);
  try {
    const sql = `SELECT 1 FROM ${names.table} WHERE ${condition(names)} LIMIT 1`;
    return (await dataSource.query<unknown[]>(sql)).length > 0;
  } catch (error) {
    // Before the migration that makes them; whatever reads them says so.
    if (isMissing(error)) return false;
    throw error;
  }
}

/** PostgreSQL and MariaDB: undefined table, undefined column. */
function isMissing(error: unknown): boolean {
  const { driverError } = error as { driverError?: { code?: unknown; message?: string } };
  const isNoSuch = driverError?.message?.startsWith('no such ') ?? false;
  return isNoSuch || ['42P01', '42703', 'ER_NO_SUCH_TABLE', 'ER_BAD_FIELD_ERROR'].includes(String(driverError?.code));
}

/** Entities of one table share the columns that they inherit. */
function plaintextColumns(entities: EncryptedEntities): readonly FoundColumn[] {
  const found = new Map<string, FoundColumn>();
  for (const { metadata, tableId, ciphers, plaintexts } of entities.values()) {
    for (const [cells, plaintext] of plaintexts) {
      const cipher = ciphers.get(cells);
      if (cipher !== undefined)
        found.set(`${metadata.tablePath} ${cells.databaseName}`, { tableId, cipher, plaintext });
    }
  }
  return [...found.values()];
}

function namesOf({ driver }: DataSource, { column, cells }: PlaintextColumn) {
  const escape = (name: string) => driver.escape(name);
  const table = cells.entityMetadata.tablePath.split('.').map(escape).join('.');
  return { table, plain: escape(column.databaseName), cell: escape(cells.databaseName) };
}
