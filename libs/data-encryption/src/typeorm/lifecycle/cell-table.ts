import type { DataSource, EntityMetadata, QueryRunner } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { RowKey } from '../../associated-data.js';
import type { ColumnCipher } from '../../column-cipher.js';
import type { KeyScopeKind } from '../../key-scope.js';
import type { Tenant } from '../../tenant.js';
import { databaseType } from '../database-type.js';
import type { EncryptedEntities, EncryptedEntity, IndexedColumn } from '../encrypted-entity.js';
import type { PlaintextColumn } from '../plaintext-column.js';
import type { PrimaryKey } from '../primary-key.js';
import type { TenantColumn } from '../tenant-column.js';
import { cellStatements } from './cell-statements.js';
import type { CellStatements } from './unchanged-update.js';

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
  /** The places of columns in which every row has a cell. */
  readonly required: readonly number[];
  readonly keyScope: KeyScopeKind;
  readonly #tenantColumn?: TenantColumn;
  readonly #primaryKey: PrimaryKey;
  readonly #keyColumns: readonly ColumnMetadata[];
  readonly #path: string;
  readonly #keys: readonly string[];
  readonly #cells: readonly string[];
  readonly #indexes: readonly string[];
  readonly #plaintexts: readonly string[];
  readonly #stamped: readonly string[];
  readonly #statements: CellStatements;

  private constructor(
    private readonly dataSource: DataSource,
    { metadata, tableId, primaryKey, keyScope, tenantColumn }: EncryptedEntity,
    { ciphers, indexes, plaintexts, stamped }: TableColumns,
  ) {
    const escape = (name: string) => dataSource.driver.escape(name);
    this.#statements = cellStatements(dataSource);
    this.#stamped = [...stamped].map((name) => `${escape(name)} = ${escape(name)}`);
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
    this.required = this.columns.flatMap(({ isRequired }, place) => (isRequired ? [place] : []));
  }

  /** One for each database table: the entities of an inheritance share theirs. */
  static all(dataSource: DataSource, entities: EncryptedEntities): readonly CellTable[] {
    const tables = new Map<string, { entity: EncryptedEntity; columns: TableColumns }>();
    for (const [{ tablePath }, entity] of entities) {
      const table = tables.get(tablePath) ?? {
        entity,
        columns: { ciphers: new Map(), indexes: new Map(), plaintexts: new Map(), stamped: new Set() },
      };
      tables.set(tablePath, table);
      for (const [{ databaseName }, cipher] of entity.ciphers) table.columns.ciphers.set(databaseName, cipher);
      for (const indexed of entity.indexes.values()) table.columns.indexes.set(indexed.column.databaseName, indexed);
      for (const each of entity.plaintexts.values()) table.columns.plaintexts.set(each.column.databaseName, each);
      for (const name of stampedColumns(entity.metadata)) table.columns.stamped.add(name);
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
    const bound = (operator: string, from: number) =>
      `(${keys}) ${operator} (${this.#keys.map((_, index) => this.#statements.parameter(from + index)).join(', ')})`;
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
      ...this.#plaintexts.map((_, place) => this.#textOf(place)),
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
    const { parameter, isSame } = this.#statements;
    const read = [this.#cells[source], this.#textOf(place)];
    const where = [
      ...this.#keys.map((name, index) => `${name} = ${parameter(index + 1)}`),
      ...read.map((name, index) => isSame(name, parameter(this.#keys.length + index + 1))),
    ];
    const set = [`${this.#plaintexts[place]} = ${parameter(0)}`, ...this.#stamped].join(', ');
    const sql = `UPDATE ${this.#path} SET ${set} WHERE ${where.join(' AND ')}`;
    const parameters = [value, ...row.key, row.cells[source], row.plaintexts[place].text];
    return ((await session.query(sql, parameters, true)).affected ?? 0) > 0;
  }

  async #updateUnchanged(session: QueryRunner, rows: readonly ReplacedRow[], set: readonly string[]): Promise<number> {
    if (rows.length === 0) return 0;
    return this.#statements.update(session, {
      path: this.#path,
      keys: this.#keys.map((name, index) => ({ name, column: this.#keyColumns[index] })),
      cells: this.#cells,
      plaintexts: this.#plaintexts.map((name, index) => ({ name, column: this.#plaintextColumn(index) })),
      set: [...set, ...this.#stamped],
      names: [
        ...this.#keys.map((_, index) => `k${index}`),
        ...this.#cells.map((_, index) => `o${index}`),
        ...this.#plaintexts.map((_, index) => `p${index}`),
        ...[...this.#cells, ...this.#indexes].map((_, index) => `n${index}`),
      ],
      rows: rows.map((row) => sourceValues(row)),
    });
  }

  #textOf(place: number): string {
    return this.#statements.textOf(this.#plaintexts[place], this.#plaintextColumn(place));
  }

  #plaintextColumn(place: number): ColumnMetadata {
    return this.plaintexts[place].plaintext.column;
  }
}

/** By their names in the database. */
interface TableColumns {
  readonly ciphers: Map<string, ColumnCipher>;
  readonly indexes: Map<string, IndexedColumn>;
  readonly plaintexts: Map<string, PlaintextColumn>;
  /** Which the database itself sets whenever a row is updated, unless the statement does. */
  readonly stamped: Set<string>;
}

/** MariaDB alone has ON UPDATE. */
function stampedColumns({ columns, dataSource }: EntityMetadata): readonly string[] {
  const isStamped = databaseType(dataSource) === 'mariadb';
  return isStamped
    ? columns.flatMap(({ onUpdate, databaseName }) => (onUpdate === undefined ? [] : [databaseName]))
    : [];
}

/** In the order of the names of the source. */
function sourceValues({ row, cells, indexes }: ReplacedRow): readonly unknown[] {
  const texts = row.plaintexts.map(({ text }) => text);
  return [...row.key, ...row.cells, ...texts, ...cells, ...indexes];
}
