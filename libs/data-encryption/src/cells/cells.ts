import type { Plaintext } from '../value-encoding.js';

declare const cellSecretBrand: unique symbol;
/** An AES-256 key inside the implementation that made it, overwritten when nobody holds it any more. */
export interface CellSecret {
  readonly [cellSecretBrand]: true;
}

/** A key of a blind index, HMAC-SHA-256 (RFC 2104), likewise. */
export interface IndexSecret {
  /**
   * @param type  the byte before the plaintext: its value type
   * @returns the tag of the key ‖ base64 of the first 18 bytes of the MAC
   */
  text(type: number, plaintext: Plaintext): string;
}

/** The rows of a batch, and its cells row after row. */
export interface CellRows<Cell> {
  /** The texts of each row's primary key, row after row. */
  readonly rowKeys: readonly string[];
  /** How many texts each row has. */
  readonly keyTexts: number;
  /** Of each row one for every column; null or undefined where there is none. */
  readonly cells: readonly (Cell | null | undefined)[];
}

/**
 * AES-256-GCM over many cells at a time, and the texts of blind indexes beside them (docs/ENVELOPE.md). There are two implementations with the same bytes: `native/`, which is
 * crossed into once for a statement or a result, and `javascript-cells.ts`, which says what the bytes are.
 */
export interface Cells {
  readonly name: 'native' | 'javascript';

  /**
   * @param header  the 28 characters that each of its cells begins with
   * @param key  32 bytes; the caller keeps and overwrites them
   */
  importKey(header: string, key: Buffer): CellSecret;
  /**
   * @param tag  the 8 characters that each of its texts begins with
   * @param key  32 bytes; the caller keeps and overwrites them
   */
  importIndexKey(tag: string, key: Buffer): IndexSecret;

  /**
   * @param prefixes  by column: the associated data up to the row
   * @returns the texts of the cells, in the order of their plaintexts; what is missing stays missing
   */
  encrypt(
    secret: CellSecret,
    prefixes: readonly Buffer[],
    rows: CellRows<Plaintext>,
  ): readonly (string | null | undefined)[];

  /**
   * @param secrets  the keys that cells may name
   * @param prefixes  key after key, one for each column: the associated data up to the row
   * @param areTexts  by column: 1 where the plaintext is wanted as a string, 0 where as a Buffer
   * @param rows  what the database holds, which may be anything
   * @returns the plaintexts, or the index of the first cell that does not decrypt
   */
  decrypt(
    secrets: readonly CellSecret[],
    prefixes: readonly Buffer[],
    areTexts: Uint8Array,
    rows: CellRows<unknown>,
  ): readonly (Plaintext | null | undefined)[] | number;
}
