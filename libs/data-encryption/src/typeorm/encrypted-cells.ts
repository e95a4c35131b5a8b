import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { ColumnCipher } from '../column-cipher.js';

/** A column that a statement writes, with its cipher. */
export type ColumnToEncrypt = readonly [ColumnMetadata, ColumnCipher];

/** The cells of a statement, ready to become parameters. */
export class EncryptedCells {
  readonly #columns: ReadonlyMap<ColumnMetadata, number>;

  /** @param places  by row: its place among the texts, -1 for a row that has none */
  constructor(
    columns: readonly ColumnToEncrypt[],
    private readonly places: Int32Array,
    private readonly texts: readonly (string | null | undefined)[],
  ) {
    this.#columns = new Map(columns.map(([column], index) => [column, index]));
  }

  /** @returns undefined for a column that was given no value */
  cell(row: number, column: ColumnMetadata): string | undefined {
    const index = this.#columns.get(column);
    const place = this.places[row];
    if (index === undefined || place === undefined || place < 0) return undefined;
    return this.texts[place * this.#columns.size + index] ?? undefined;
  }
}
