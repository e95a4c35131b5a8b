import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  type KeyObject,
  randomFillSync,
} from 'node:crypto';
import { rowAssociatedData } from '../associated-data.js';
import { indexMacBytes } from '../blind-index.js';
import { formatEnvelope, headerCharacters, nonceBytes, parseBody, tagBytes } from '../envelope.js';
import type { Plaintext } from '../value-encoding.js';
import type { CellRows, Cells, CellSecret } from './cells.js';

/** NIST SP 800-38D, with a random 96-bit nonce and a 16-byte tag. */
const cipherName = 'aes-256-gcm';

interface Secret {
  readonly header: string;
  readonly key: KeyObject;
}

/** Cells by Node's own crypto, one after the other: the reference, and what serves where the addon does not load. */
export const javascriptCells: Cells = {
  name: 'javascript',

  importKey: (header, key) => ({ header, key: createSecretKey(key) }) as unknown as CellSecret,

  importIndexKey(tag, key) {
    const secret = createSecretKey(key);
    return {
      text(type, plaintext) {
        const mac = createHmac('sha256', secret).update(Buffer.of(type)).update(plaintext).digest();
        return tag + mac.toString('base64', 0, indexMacBytes);
      },
    };
  },

  encrypt(secret, prefixes, rows) {
    const { header, key } = secret as unknown as Secret;
    return [...eachCell(rows, prefixes.length)].map(({ cell, row, column }) =>
      cell === null || cell === undefined ? cell : encrypt(header, key, prefixes[column], row, cell),
    );
  },

  decrypt(secrets, prefixes, areTexts, rows) {
    const plaintexts: (Plaintext | null | undefined)[] = [];
    for (const { cell, row, column } of eachCell(rows, areTexts.length)) {
      if (cell === null || cell === undefined) {
        plaintexts.push(cell);
        continue;
      }
      const header = typeof cell === 'string' ? cell.slice(0, headerCharacters) : undefined;
      const index = secrets.findIndex((secret) => (secret as unknown as Secret).header === header);
      if (typeof cell !== 'string' || index < 0) return plaintexts.length;
      const { key } = secrets[index] as unknown as Secret;
      const plaintext = decrypt(key, prefixes[index * areTexts.length + column], row, cell);
      if (plaintext === undefined) return plaintexts.length;
      plaintexts.push(areTexts[column] === 0 ? plaintext : plaintext.toString('utf8'));
    }
    return plaintexts;
  },
};

function* eachCell<Cell>({ rowKeys, keyTexts, cells }: CellRows<Cell>, columns: number) {
  for (let row = 0; row * keyTexts < rowKeys.length; row++) {
    const associatedData = rowAssociatedData(rowKeys.slice(row * keyTexts, (row + 1) * keyTexts));
    for (let column = 0; column < columns; column++) {
      yield { cell: cells[row * columns + column], row: associatedData, column };
    }
  }
}

function encrypt(header: string, key: KeyObject, prefix: Buffer, row: Buffer, plaintext: Plaintext): string {
  const nonce = randomNonce();
  const cipher = createCipheriv(cipherName, key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(Buffer.concat([prefix, row]));
  const ciphertext = typeof plaintext === 'string' ? cipher.update(plaintext, 'utf8') : cipher.update(plaintext);
  cipher.final();
  return formatEnvelope(header, Buffer.concat([nonce, ciphertext, cipher.getAuthTag()]));
}

/** @returns undefined whatever the reason */
function decrypt(key: KeyObject, prefix: Buffer, row: Buffer, text: string): Buffer | undefined {
  const body = parseBody(text);
  if (body === undefined) return undefined;
  // authTagLength: Node otherwise accepts a tag of 4 bytes.
  const decipher = createDecipheriv(cipherName, key, body.nonce, { authTagLength: tagBytes });
  decipher.setAAD(Buffer.concat([prefix, row]));
  decipher.setAuthTag(body.tag);
  const plaintext = decipher.update(body.ciphertext);
  try {
    decipher.final();
    return plaintext;
  } catch {
    plaintext.fill(0);
    return undefined;
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
