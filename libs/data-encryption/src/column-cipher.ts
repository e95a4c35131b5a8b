import { createCipheriv, createDecipheriv, randomFillSync } from 'node:crypto';
import { cellAssociatedDataPrefix, type ColumnIdentity } from './associated-data.js';
import type { CellKey } from './data-key.js';
import { formatEnvelope, nonceBytes, parseBody, tagBytes } from './envelope.js';
import { decryptionFailed } from './errors.js';
import { decodeValue, encodeValue } from './value-encoding.js';

const cipherName = 'aes-256-gcm';

/**
 * The cells of one column: AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce and a 16-byte tag, bound to database,
 * table, column, type, row and data key. Every cell that is written or read passes here and nowhere else.
 */
export class ColumnCipher {
  /** By data key header: the part of the associated data that rows share. */
  readonly #prefixes = new Map<string, Buffer>();

  constructor(
    readonly identity: ColumnIdentity,
    /** `Entity.property`, for errors. */
    readonly name: string,
  ) {}

  /**
   * @param row  `rowAssociatedData` of the row the cell is written to
   * @returns the envelope as text
   * @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID
   */
  encrypt(value: unknown, row: Buffer, cellKey: CellKey): string {
    const plaintext = encodeValue(this.identity.type, value, this.name);
    const nonce = randomNonce();
    const cipher = createCipheriv(cipherName, cellKey.key, nonce, { authTagLength: tagBytes });
    cipher.setAAD(this.#associatedData(row, cellKey));
    const ciphertext = cipher.update(plaintext);
    cipher.final();
    return formatEnvelope(cellKey.header, Buffer.concat([nonce, ciphertext, cipher.getAuthTag()]));
  }

  /**
   * @param text  what the database holds
   * @param cellKey  the key its header names, undefined when there is none
   * @throws {DataEncryptionError} ERR_DATA_DECRYPTION_FAILED, whatever the reason
   */
  decrypt(text: string, row: Buffer, cellKey: CellKey | undefined): unknown {
    const body = cellKey && parseBody(text);
    if (!body) throw decryptionFailed(this.name);
    // authTagLength: Node otherwise accepts a tag of 4 bytes.
    const decipher = createDecipheriv(cipherName, cellKey.key, body.nonce, { authTagLength: tagBytes });
    decipher.setAAD(this.#associatedData(row, cellKey));
    decipher.setAuthTag(body.tag);
    const plaintext = decipher.update(body.ciphertext);
    try {
      decipher.final();
    } catch {
      plaintext.fill(0);
      throw decryptionFailed(this.name);
    }
    const value = decodeValue(this.identity.type, plaintext);
    if (value === undefined) throw decryptionFailed(this.name);
    return value;
  }

  #associatedData(row: Buffer, cellKey: CellKey): Buffer {
    let prefix = this.#prefixes.get(cellKey.header);
    if (prefix === undefined) {
      prefix = cellAssociatedDataPrefix(this.identity, cellKey.id);
      this.#prefixes.set(cellKey.header, prefix);
    }
    return Buffer.concat([prefix, row], prefix.length + row.length);
  }
}

// A random fill of 12 bytes costs thirty times one nonce taken from a larger fill.
const pool = Buffer.allocUnsafe(nonceBytes * 1024);
let used = pool.length;

/** 12 random bytes, valid until the next call. */
function randomNonce(): Buffer {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += nonceBytes;
  return pool.subarray(used - nonceBytes, used);
}
