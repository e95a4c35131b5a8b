import type { QueryRunner } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';

/** A column with its name as statements have it. */
export interface NamedColumn {
  readonly name: string;
  readonly column: ColumnMetadata;
}

/** An update of rows that still are what was read, in one statement. */
export interface UnchangedUpdate {
  readonly path: string;
  readonly keys: readonly NamedColumn[];
  readonly cells: readonly string[];
  readonly plaintexts: readonly NamedColumn[];
  /** Assignments, which may read from `source`. */
  readonly set: readonly string[];
  /**
   * Names of what `source` has, and for each row its values. k: key · o: the cell, p: the plaintext's text as it was read · n: what a cell
   * or an index becomes
   */
  readonly names: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

/** What databases write differently of the statements over cells. */
export interface CellStatements {
  readonly parameter: (index: number) => string;
  /** The database's own text for a value: the same text means the same value, whatever its type. */
  readonly textOf: (name: string, column: ColumnMetadata) => string;
  /** Whether two texts are the same, or both NULL. */
  readonly isSame: (left: string, right: string) => string;
  /** Rows that somebody has locked are left. @returns how many were updated */
  update(session: QueryRunner, update: UnchangedUpdate): Promise<number>;
}

/** Of a row that is as it was read, where `cell_table` is the table and `source` what was read. */
export function isUnchanged({ keys, cells, plaintexts }: UnchangedUpdate, { textOf, isSame }: CellStatements): string {
  return [
    isRow('cell_table', keys),
    ...cells.map((name, index) => isSame(`cell_table.${name}`, `source.o${index}`)),
    ...plaintexts.map(({ name, column }, index) => isSame(textOf(`cell_table.${name}`, column), `source.p${index}`)),
  ].join(' AND ');
}

export function isRow(alias: string, keys: readonly NamedColumn[]): string {
  return keys.map(({ name }, index) => `${alias}.${name} = source.k${index}`).join(' AND ');
}
