import { cellAssociatedDataPrefix, type ColumnIdentity } from './associated-data.js';
import type { CellKey } from './data-key.js';
import { decryptionFailed } from './errors.js';
import { decodeValue, encodeValue, isText, type Plaintext } from './value-encoding.js';

/** One encrypted column: what its cells are bound to, and how its values become plaintexts and come back. */
export class ColumnCipher {
  /** Whether its plaintexts are strings. */
  readonly isText: boolean;
  /** By data key header. */
  readonly #prefixes = new Map<string, Buffer>();

  constructor(
    readonly identity: ColumnIdentity,
    /** `Entity.property`, for errors. */
    readonly name: string,
    /** Of a padded type: bytes of which its plaintexts are a multiple. It may change; what is written stays as it is. */
    private readonly padTo?: number,
  ) {
    this.isText = isText(identity.type);
  }

  /** The associated data of its cells under a data key, up to the row. */
  associatedDataPrefix(cellKey: CellKey): Buffer {
    let prefix = this.#prefixes.get(cellKey.header);
    if (prefix === undefined) {
      prefix = cellAssociatedDataPrefix(this.identity, cellKey.id);
      this.#prefixes.set(cellKey.header, prefix);
    }
    return prefix;
  }

  /** @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID */
  encode(value: unknown): Plaintext {
    return encodeValue(this.identity.type, value, this.name, this.padTo);
  }

  /** @throws {DataEncryptionError} ERR_DATA_DECRYPTION_FAILED: what was encrypted is no value of the column's type */
  decode(plaintext: Plaintext): unknown {
    const value = decodeValue(this.identity.type, plaintext);
    if (value === undefined) throw decryptionFailed(this.name);
    return value;
  }
}
