import type { DataSource, QueryRunner } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { RowKey } from '../../associated-data.js';
import type { ColumnCipher } from '../../column-cipher.js';
import type { KeyScopeKind } from '../../key-scope.js';
import type { Tenant } from '../../tenant.js';
import type { EncryptedEntities, EncryptedEntity, IndexedColumn } from '../encrypted-entity.js';
import type { PlaintextColumn } from '../plaintext-column.js';
import type { PrimaryKey } from '../primary-key.js';
import type { TenantColumn } from '../tenant-column.js';

/** The primary key of a row as the driver returns it, one value per column. */
export type StoredKey = readonly unknown[];

/** A row as the database has it. */
export interface StoredRow {
  readonly key: StoredKey;
  /** In the order of `CellTable.columns`; null where there is none. */
  readonly cells: readonly unknown[];
  /** In the order of `CellTable.indexes`. */
  readonly indexes: readonly unknown[];
  /** Whose it is, where a column says it. */
  readonly tenant?: Tenant;
  /** In the order of `CellTable.plaintexts`. */
  readonly plaintexts: readonly StoredPlaintext[];
}

export interface StoredPlaintext {
  /** As the driver returns it. */
  readonly value: unknown;
  /** The database's own text for it, by which it is seen to be unchanged; null where there is none. */
  readonly text: unknown;
}

/** What a row becomes. */
export interface ReplacedRow {
  readonly row: StoredRow;
  readonly cells: readonly (string | null | undefined)[];
  readonly indexes: readonly (string | null)[];
}

/** A blind index of a table. */
export interface TableIndex {
  readonly indexed: IndexedColumn;
  /** The place of its source among the table's columns. */
  readonly source: number;
}

/** A column of plaintext beside one of cells. */
export interface TablePlaintext {
  readonly plaintext: PlaintextColumn;
  /** The place of its cells among the table's columns. */
  readonly source: number;
}

/** Part of a table in the order of its primary key: after one key, up to and with another. */
export interface KeyRange {
  readonly after?: StoredKey;
  readonly upTo?: StoredKey;
}

/**
 * The cells of a database table as they are stored. It is read and written past TypeORM's entities: no subscriber hears of it, and
 * no version or update date changes.
 */
export class CellTable {
  readonly tableId: string;
  readonly columns: readonly ColumnCipher[];
  readonly indexes: readonly TableIndex[];
  readonly plaintexts: readonly TablePlaintext[];
  readonly keyScope: KeyScopeKind;
  readonly #tenantColumn?: TenantColumn;
  readonly #primaryKey: PrimaryKey;
  readonly #keyColumns: readonly ColumnMetadata[];
  readonly #path: string;
  readonly #keys: readonly string[];
  readonly #cells: readonly string[];
  readonly #indexes: readonly string[];
  readonly #plaintexts: readonly string[];

  private constructor(
    private readonly dataSource: DataSource,
    { metadata, tableId, primaryKey, keyScope, tenantColumn }: EncryptedEntity,
    { ciphers, indexes, plaintexts }: TableColumns,
  ) {
    const escape = (name: string) => dataSource.driver.escape(name);
    this.tableId = tableId;
    this.keyScope = keyScope;
    this.#tenantColumn = tenantColumn;
    this.columns = [...ciphers.values()];
    this.#primaryKey = primaryKey;
    this.#keyColumns = metadata.primaryColumns;
    this.#path = metadata.tablePath.split('.').map(escape).join('.');
    this.#keys = this.#keyColumns.map(({ databaseName }) => escape(databaseName));
    const names = [...ciphers.keys()];
    this.#cells = names.map(escape);
    this.indexes = [...indexes.values()].map((indexed) => {
      return { indexed, source: names.indexOf(indexed.source.databaseName) };
    });
    this.#indexes = [...indexes.keys()].map(escape);
    this.plaintexts = [...plaintexts.values()].map((plaintext) => {
      return { plaintext, source: names.indexOf(plaintext.cells.databaseName) };
    });
    this.#plaintexts = [...plaintexts.keys()].map(escape);
  }

  /** One for each database table: the entities of an inheritance share theirs. */
  static all(dataSource: DataSource, entities: EncryptedEntities): readonly CellTable[] {
    const tables = new Map<string, { entity: EncryptedEntity; columns: TableColumns }>();
    for (const [{ tablePath }, entity] of entities) {
      const table = tables.get(tablePath) ?? {
        entity,
        columns: { ciphers: new Map(), indexes: new Map(), plaintexts: new Map() },
      };
      tables.set(tablePath, table);
      for (const [{ databaseName }, cipher] of entity.ciphers) table.columns.ciphers.set(databaseName, cipher);
      for (const indexed of entity.indexes.values()) table.columns.indexes.set(indexed.column.databaseName, indexed);
      for (const each of entity.plaintexts.values()) table.columns.plaintexts.set(each.column.databaseName, each);
    }
    return [...tables.values()].map(({ entity, columns }) => new CellTable(dataSource, entity, columns));
  }

  /** @returns what the cells of a row are bound to; undefined when the key is in no form that a cell can be bound to */
  rowKey({ key }: StoredRow): RowKey | undefined {
    return this.#primaryKey.ofRow((column) => key[this.#keyColumns.indexOf(column)]);
  }

  /** The next rows of a range, in the order of the primary key. */
  async page(session: QueryRunner, { after, upTo }: KeyRange, limit: number): Promise<readonly StoredRow[]> {
    const parameters = [...(after ?? []), ...(upTo ?? [])];
    const keys = this.#keys.join(', ');
    const place = (index: number) => this.#parameter(index);
    const bound = (operator: string, from: number) =>
      `(${keys}) ${operator} (${this.#keys.map((_, index) => place(from + index)).join(', ')})`;
    const bounds = [
      ...(after === undefined ? [] : [bound('>', 0)]),
      ...(upTo === undefined ? [] : [bound('<=', after?.length ?? 0)]),
    ];
    const tenant = this.#tenantColumn;
    const tenantName = tenant && this.dataSource.driver.escape(tenant.column.databaseName);
    const selected = [
      ...this.#keys,
      ...this.#cells,
      ...this.#indexes,
      ...this.#plaintexts,
      ...this.#plaintexts.map((name) => this.#textOf(name)),
      ...(tenantName === undefined ? [] : [tenantName]),
    ];
    const names = selected.map((name, index) => `${name} AS c${index}`).join(', ');
    const where = bounds.length === 0 ? '' : ` WHERE ${bounds.join(' AND ')}`;
    const sql = `SELECT ${names} FROM ${this.#path}${where} ORDER BY ${keys} LIMIT ${limit}`;
    const rows = (await session.query(sql, parameters)) as readonly Record<string, unknown>[];
    return rows.map((row) => {
      const values = selected.map((_, index) => row[`c${index}`]);
      const key = values.splice(0, this.#keys.length);
      const cells = values.splice(0, this.#cells.length);
      const indexes = values.splice(0, this.#indexes.length);
      const plaintextValues = values.splice(0, this.#plaintexts.length);
      const texts = values.splice(0, this.#plaintexts.length);
      const plaintexts = plaintextValues.map((value, index) => ({ value, text: texts[index] }));
      return { key, cells, indexes, plaintexts, tenant: tenant?.ofValue(values[0]) };
    });
  }

  async count(session: QueryRunner): Promise<number> {
    const [{ total }] = (await session.query(`SELECT count(*) AS total FROM ${this.#path}`)) as { total: unknown }[];
    return Number(total);
  }

  /** Every so manyth key, in the order of the primary key: where ranges of so many rows end. */
  async ends(session: QueryRunner, rangeRows: number): Promise<readonly StoredKey[]> {
    const keys = this.#keys.map((name, index) => `${name} AS c${index}`).join(', ');
    const numbered = `SELECT ${keys}, row_number() OVER (ORDER BY ${this.#keys.join(', ')}) AS n FROM ${this.#path}`;
    const sql = `SELECT * FROM (${numbered}) AS numbered WHERE n % ${rangeRows} = 0 ORDER BY n`;
    const ends = (await session.query(sql)) as readonly Record<string, unknown>[];
    return ends.map((row) => this.#keys.map((_, index) => row[`c${index}`]));
  }

  /**
   * Replaces the cells of rows that are as they were read. Rows that somebody else has changed, or is about to change, are left.
   * @returns how many were replaced
   */
  async replace(session: QueryRunner, rows: readonly ReplacedRow[]): Promise<number> {
    const set = [...this.#cells, ...this.#indexes].map((name, index) => `${name} = source.n${index}`);
    return this.#updateUnchanged(session, rows, set);
  }

  /** Makes plaintexts NULL, of rows as they were read. @param places  among `plaintexts` */
  async erase(session: QueryRunner, rows: readonly StoredRow[], places: readonly number[]): Promise<number> {
    const set = places.map((place) => `${this.#plaintexts[place]} = NULL`);
    return this.#updateUnchanged(
      session,
      rows.map((row) => ({ row, cells: [], indexes: [] })),
      set,
    );
  }

  /** Sets one plaintext of one row that is as it was read. @param value  as the driver takes it */
  async setPlaintext(session: QueryRunner, row: StoredRow, place: number, value: unknown): Promise<boolean> {
    const { source } = this.plaintexts[place];
    const read = [this.#cells[source], this.#textOf(this.#plaintexts[place])];
    const where = [...this.#keys, ...read].map(
      (name, index) =>
        `${name} ${index < this.#keys.length ? '=' : 'IS NOT DISTINCT FROM'} ${this.#parameter(index + 1)}`,
    );
    const sql = `UPDATE ${this.#path} SET ${this.#plaintexts[place]} = ${this.#parameter(0)} WHERE ${where.join(' AND ')}`;
    const parameters = [value, ...row.key, row.cells[source], row.plaintexts[place].text];
    return ((await session.query(sql, parameters, true)).affected ?? 0) > 0;
  }

  async #updateUnchanged(session: QueryRunner, rows: readonly ReplacedRow[], set: readonly string[]): Promise<number> {
    if (rows.length === 0) return 0;
    const isPostgres = this.dataSource.options.type === 'postgres';
    const { source, parameters } = isPostgres ? this.#asArrays(rows) : this.#asJson(rows);
    const isRow = (alias: string) => this.#keys.map((name, index) => `${alias}.${name} = source.k${index}`);
    const isUnchanged = this.#cells.map((name, index) => `cell_table.${name} IS NOT DISTINCT FROM source.o${index}`);
    const isSame = this.#plaintexts.map(
      (name, index) => `${this.#textOf(`cell_table.${name}`)} IS NOT DISTINCT FROM source.p${index}`,
    );
    const conditions = [...isRow('cell_table'), ...isUnchanged, ...isSame];
    const withs = [`source AS MATERIALIZED (${source})`];
    if (isPostgres) {
      // Who holds a lock is about to write: nobody waits for us while we wait for him.
      const free = `SELECT source.* FROM source JOIN ${this.#path} AS locked ON ${isRow('locked').join(' AND ')}`;
      withs.push(`free AS MATERIALIZED (${free} FOR NO KEY UPDATE OF locked SKIP LOCKED)`);
    }
    const sql =
      `WITH ${withs.join(', ')} UPDATE ${this.#path} AS cell_table SET ${set.join(', ')} ` +
      `FROM ${isPostgres ? 'free AS source' : 'source'} WHERE ${conditions.join(' AND ')}`;
    const result = await session.query(sql, parameters, true);
    return result.affected ?? 0;
  }

  /** One array for each column: of keys in their own type, of texts as text. */
  #asArrays(rows: readonly ReplacedRow[]) {
    const keyTypes = this.#keyColumns.map((column) => this.dataSource.driver.normalizeType(column));
    const names = this.#sourceNames();
    const arrays = names.map((_, index) => `${this.#parameter(index)}::${keyTypes[index] ?? 'text'}[]`).join(', ');
    const values = rows.map((row) => sourceValues(row));
    return {
      source: `SELECT * FROM unnest(${arrays}) AS given(${names.join(', ')})`,
      parameters: names.map((_, index) => values.map((each) => each[index] ?? null)),
    };
  }

  /** One array for each row, all of them in one JSON document. */
  #asJson(rows: readonly ReplacedRow[]) {
    const values = this.#sourceNames().map((name, index) => `value ->> ${index} AS ${name}`);
    const document = rows.map((row) => sourceValues(row));
    return { source: `SELECT ${values.join(', ')} FROM json_each(?)`, parameters: [JSON.stringify(document)] };
  }

  /** k: key · o: the cell, p: the plaintext as it was read · n: what a cell or an index becomes */
  #sourceNames(): readonly string[] {
    return [
      ...this.#keys.map((_, index) => `k${index}`),
      ...this.#cells.map((_, index) => `o${index}`),
      ...this.#plaintexts.map((_, index) => `p${index}`),
      ...[...this.#cells, ...this.#indexes].map((_, index) => `n${index}`),
    ];
  }

  /** The same text means the same value, whatever its type. */
  #textOf(name: string): string {
    return this.dataSource.options.type === 'postgres' ? `${name}::text` : `nullif(quote(${name}), 'NULL')`;
  }

  #parameter(index: number): string {
    return this.dataSource.options.type === 'postgres' ? `$${index + 1}` : '?';
  }
}

/** By their names in the database. */
interface TableColumns {
  readonly ciphers: Map<string, ColumnCipher>;
  readonly indexes: Map<string, IndexedColumn>;
  readonly plaintexts: Map<string, PlaintextColumn>;
}

/** In the order of the names of the source. */
function sourceValues({ row, cells, indexes }: ReplacedRow): readonly unknown[] {
  const texts = row.plaintexts.map(({ text }) => text);
  return [...row.key, ...row.cells, ...texts, ...cells, ...indexes];
}
