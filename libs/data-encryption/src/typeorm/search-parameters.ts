import type { ObjectLiteral } from 'typeorm';
import type { BlindIndexKeys } from '../blind-index-keys.js';
import type { IndexKey } from '../blind-index.js';
import { DataEncryptionError } from '../errors.js';
import type { IndexedColumn } from './encrypted-entity.js';
import type { SearchClause } from './search-clause.js';
import { SqlMemo } from './sql-memo.js';

/** What every parameter of a rewritten condition has in its name. */
export const mark = '__nest_hsm_';
const marked = /:\.\.\.(([A-Za-z0-9_.]+)__nest_hsm_([el])(\d+))(?![A-Za-z0-9_.])/g;

/** A parameter of a rewritten condition. */
interface Mark {
  readonly name: string;
  /** The parameter of the application whose value it is of. */
  readonly given: string;
  readonly isList: boolean;
  /** The value is compared with. */
  readonly column: IndexedColumn;
}

/**
 * Searched values on their way into a statement. A rewritten condition names a parameter of the application together with the
 * column it is compared with; the texts of the blind index are made when the statement gets its parameters. Until then nothing
 * is kept anywhere, so conditions may be built, copied and put into others in any order.
 */
export class SearchParameters {
  readonly #numbers: ReadonlyMap<IndexedColumn, number>;
  readonly #marks = new SqlMemo((sql) => this.#marksIn(sql));

  constructor(
    private readonly columns: readonly IndexedColumn[],
    readonly keys: BlindIndexKeys<unknown>,
    /** The tenant whose rows of a table are searched, empty where they are no tenant's. */
    private readonly tenantOf: (tableId: string) => string,
  ) {
    this.#numbers = new Map(columns.map((column, number) => [column, number]));
  }

  /** The list of a condition over the column of the blind index: a text of every key of the index for each value. */
  list(column: IndexedColumn, { parameters }: SearchClause): string {
    const number = this.#numbers.get(column);
    return parameters.map(({ name, isList }) => `:...${name}${mark}${isList ? 'l' : 'e'}${number}`).join(', ');
  }

  /** The tables whose indexes a statement's rewritten conditions ask. */
  tablesIn(sql: string): ReadonlySet<string> {
    return new Set(this.#marks.of(sql).map(({ column }) => column.tableId));
  }

  /**
   * `Driver.escapeQueryWithParameters`: the parameters of a statement with those that its rewritten conditions name.
   * @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID | ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_TENANT_MISSING
   */
  resolve(sql: string, parameters: ObjectLiteral): ObjectLiteral {
    if (!sql.includes(mark)) return parameters;
    const resolved: ObjectLiteral = { ...parameters };
    for (const { name, given, isList, column } of this.#marks.of(sql)) {
      if (!Object.hasOwn(parameters, given)) continue;
      const value: unknown = parameters[given];
      if (isList && !Array.isArray(value)) throw noList(column);
      resolved[name] = isList
        ? (value as unknown[]).flatMap((each) => this.#texts(column, each))
        : this.#texts(column, value);
    }
    return resolved;
  }

  #marksIn(sql: string): readonly Mark[] {
    return [...sql.matchAll(marked)].flatMap(([, name, given, kind, number]) => {
      const column = this.columns[Number(number)];
      return column === undefined ? [] : { name, given, isList: kind === 'l', column };
    });
  }

  /**
   * The text that is stored beside a value that has a cell.
   * @param tenant  whose the row is, empty where it is no tenant's
   */
  stored({ tableId, index }: IndexedColumn, value: unknown, tenant: string): string {
    const [active] = this.keys.keys(tableId, index, tenant);
    return value === null || value === undefined ? index.textOfNull(active) : index.text(value, active);
  }

  #texts(column: IndexedColumn, value: unknown): readonly (string | null)[] {
    // Equal to NULL is nothing, as without encryption.
    if (value === null || value === undefined) return [null];
    return this.#keys(column).map((key) => column.index.text(value, key));
  }

  #keys({ tableId, index }: IndexedColumn): readonly IndexKey[] {
    return this.keys.keys(tableId, index, this.tenantOf(tableId));
  }
}

function noList({ index: { name } }: IndexedColumn): DataEncryptionError {
  return new DataEncryptionError(
    'ERR_DATA_VALUE_INVALID',
    `${name}: want an array for :...parameter, got another value`,
    {
      column: name,
    },
  );
}
