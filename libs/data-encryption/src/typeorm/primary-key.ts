import type { EntityMetadata, ObjectLiteral } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { type RowKey, unboundRow } from '../associated-data.js';
import type { DatabaseType } from './database-type.js';

/** textual-uuid: text that only ever holds a uuid with hyphens, in any case. padded-text: text that is compared without trailing spaces. */
type KeyKind = 'text' | 'padded-text' | 'integer' | 'uuid' | 'textual-uuid';

const kindsByColumnType: Record<DatabaseType, ReadonlyMap<string, KeyKind>> = {
  // A uuid is text here, stored as it was given: only the exact text names the row.
  'better-sqlite3': new Map([
    ...['integer', 'bigint', 'smallint', 'int2', 'int8'].map((type) => [type, 'integer'] as const),
    ...['varchar', 'text', 'character varying'].map((type) => [type, 'text'] as const),
  ]),
  mariadb: new Map([
    ...['int', 'bigint', 'smallint', 'mediumint', 'tinyint'].map((type) => [type, 'integer'] as const),
    ['varchar', 'padded-text'],
    // It takes fewer spellings than PostgreSQL does.
    ['uuid', 'textual-uuid'],
  ]),
  postgres: new Map([
    ...['integer', 'bigint', 'smallint'].map((type) => [type, 'integer'] as const),
    ...['character varying', 'text'].map((type) => [type, 'text'] as const),
    ['uuid', 'uuid'],
  ]),
};

interface KeyColumn {
  readonly column: ColumnMetadata;
  readonly kind: KeyKind;
}

/**
 * The primary key of an entity as its database stores it: what the cells of a row are bound to. The same bytes come out of
 * the entity that is written and of the row that is read.
 */
export class PrimaryKey {
  private readonly columns: readonly KeyColumn[];

  private constructor(columns: readonly KeyColumn[]) {
    // In an order that does not depend on where in the class a property stands.
    this.columns = columns.toSorted((left, right) => (left.column.propertyPath < right.column.propertyPath ? -1 : 1));
  }

  /** That of an entity whose cells are bound to no row: of every row the same. */
  static readonly none = new PrimaryKey([]);

  /** @returns what is wrong with the key instead, when cells cannot be bound to it */
  static of(metadata: EntityMetadata, databaseType: DatabaseType): PrimaryKey | string {
    if (metadata.primaryColumns.length === 0) return 'want a primary key, got none';
    const columns: KeyColumn[] = [];
    for (const column of metadata.primaryColumns) {
      const columnType = metadata.dataSource.driver.normalizeType(column);
      const isTextualUuid = databaseType === 'mariadb' && column.generationStrategy === 'uuid';
      const kind = isTextualUuid ? 'textual-uuid' : kindsByColumnType[databaseType].get(columnType);
      // What two texts of a key have in common must be one text: no other type, collation or transformer.
      if (kind === undefined)
        return `primary key ${column.propertyPath}: want uuid, text or integer, got ${columnType}`;
      // Of MariaDB's columns, which all have one, `refuseUnfitColumns` asks the database.
      if (column.collation !== undefined && databaseType !== 'mariadb')
        return `primary key ${column.propertyPath}: want no collation of its own, got one`;
      if (column.transformer !== undefined) return `primary key ${column.propertyPath}: want no transformer, got one`;
      columns.push({ column, kind });
    }
    return new PrimaryKey(columns);
  }

  /** Whether cells are bound to it. */
  get isBound(): boolean {
    return this.columns.length > 0;
  }

  /** @returns undefined when the key is not there or not in a form the database keeps */
  ofEntity(entity: ObjectLiteral): RowKey | undefined {
    return this.ofRow((column) => column.getEntityValue(entity) as unknown);
  }

  /**
   * @param value  what the row has in a column
   * @returns undefined when the key is not there or not in a form the database keeps
   */
  ofRow(value: (column: ColumnMetadata) => unknown): RowKey | undefined {
    if (!this.isBound) return unboundRow;
    const texts: string[] = [];
    for (const { column, kind } of this.columns) {
      const text = storedForm(kind, value(column));
      if (text === undefined) return undefined;
      texts.push(text);
    }
    return texts;
  }

  /**
   * `ofRow` for many rows of one result.
   * @param name  under which a column's value is found
   */
  reader(name: (column: ColumnMetadata) => string): (row: Readonly<Record<string, unknown>>) => RowKey | undefined {
    if (!this.isBound) return () => unboundRow;
    const columns = this.columns.map(({ column, kind }) => ({ name: name(column), kind }));
    return (row) => {
      const texts: string[] = [];
      for (const { name, kind } of columns) {
        const text = storedForm(kind, row[name]);
        if (text === undefined) return undefined;
        texts.push(text);
      }
      return texts;
    };
  }
}

function storedForm(kind: KeyKind, value: unknown): string | undefined {
  switch (kind) {
    case 'text':
      return typeof value === 'string' ? value : undefined;
    case 'padded-text':
      return typeof value === 'string' && !value.endsWith(' ') ? value : undefined;
    case 'integer':
      return integerForm(value);
    case 'uuid':
      return typeof value === 'string' ? uuidForm(value) : undefined;
    case 'textual-uuid':
      return typeof value === 'string' && textualUuid.test(value) ? uuidForm(value) : undefined;
  }
}

function integerForm(value: unknown): string | undefined {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value).toString() : undefined;
  return typeof value === 'string' && /^(0|-?[1-9]\d*)$/.test(value) ? value : undefined;
}

const textualUuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const hyphenatedUuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** PostgreSQL takes upper case, braces and other hyphens, and stores one form (its manual, §8.12). */
function uuidForm(value: string): string | undefined {
  // What it returns, and what nearly everybody writes: replacing takes twice as long, for every row of a result.
  if (hyphenatedUuid.test(value)) {
    return value.slice(0, 8) + value.slice(9, 13) + value.slice(14, 18) + value.slice(19, 23) + value.slice(24);
  }
  const digits = value.replaceAll(/[{}-]/g, '').toLowerCase();
  return /^[0-9a-f]{32}$/.test(digits) ? digits : undefined;
}
