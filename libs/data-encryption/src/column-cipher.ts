import { cellAssociatedDataPrefix, type ColumnIdentity } from './associated-data.js';
import { isNullable } from './cell-type.js';
import type { CellKey } from './data-key.js';
import { decryptionFailed } from './errors.js';
import type { KeyScope } from './key-scope.js';
import { decodeValue, encodeValue, isText, type Plaintext } from './value-encoding.js';

/** What no cell is bound to. */
const outOfScope = Buffer.from('nest-hsm key out of scope');

/** One encrypted column: what its cells are bound to, and how its values become plaintexts and come back. */
export class ColumnCipher {
  /** Whether its plaintexts are strings. */
  readonly isText: boolean;
  /** Whether null has a cell. */
  readonly encryptsNull: boolean;
  /** Whether every row has a cell: a NULL is none that was written. */
  readonly isRequired: boolean;
  /** By data key. */
  readonly #prefixes = new WeakMap<CellKey, Buffer>();

  constructor(
    readonly identity: ColumnIdentity,
    /** `Entity.property`, for errors. */
    readonly name: string,
    /** Of a padded type: bytes of which its plaintexts are a multiple. It may change; what is written stays as it is. */
    private readonly padTo?: number,
    /** Whether no row is left that has plaintext instead. */
    isBackfilled = true,
  ) {
    this.isText = isText(identity.type);
    this.encryptsNull = isNullable(identity.type);
    this.isRequired = this.encryptsNull && isBackfilled;
  }

  /** The associated data of its cells under a data key, up to the row; under a key that is not for them, of no cell there is. */
  associatedDataPrefix(cellKey: CellKey): Buffer {
    let prefix = this.#prefixes.get(cellKey);
    if (prefix === undefined) {
      const { id, scope } = cellKey;
      prefix = this.isInScope(cellKey) ? cellAssociatedDataPrefix(this.identity, id, scope.tenant) : outOfScope;
      this.#prefixes.set(cellKey, prefix);
    }
    return prefix;
  }

  /** The scope of the key of a cell of a tenant; empty where cells are no tenant's. */
  scope(tenant: string): KeyScope {
    const { tableId, columnId, keyScope } = this.identity;
    return { tableId, columnId: keyScope === 'column' ? columnId : '', tenant: keyScope === 'tenant' ? tenant : '' };
  }

  /** Whether a data key is for its cells. A column may have had a key of its own once, or the table's; a tenant's cells are never under a key that is not the tenant's. */
  isInScope({ scope: { tableId, columnId, tenant } }: CellKey): boolean {
    const { identity } = this;
    const isOfColumn = columnId === '' || columnId === identity.columnId;
    return tableId === identity.tableId && isOfColumn && (tenant !== '') === (identity.keyScope === 'tenant');
  }

  /** Whether a value of the property, undefined where it has none, is stored as a cell. A function is an SQL expression. */
  hasCell(value: unknown): boolean {
    return value === null || value === undefined ? this.encryptsNull : typeof value !== 'function';
  }

  /**
   * @param value  one that has a cell
   * @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID
   */
  encode(value: unknown): Plaintext {
    return encodeValue(this.identity.type, value ?? null, this.name, this.padTo);
  }

  /** @throws {DataEncryptionError} ERR_DATA_DECRYPTION_FAILED: what was encrypted is no value of the column's type */
  decode(plaintext: Plaintext): unknown {
    // A text is its own value: most cells are.
    if (this.identity.type === 'string') return plaintext;
    const value = decodeValue(this.identity.type, plaintext);
    if (value === undefined) throw decryptionFailed(this.name);
    return value;
  }
}
