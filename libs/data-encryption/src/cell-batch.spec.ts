import { hkdfSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import {
  cellAssociatedDataPrefix,
  type ColumnIdentity,
  rowAssociatedData,
  type RowKey,
  unboundRow,
} from './associated-data.js';
import { CellBatch, decryptCells, encryptCells } from './cell-batch.js';
import { cells } from './cells/load-cells.js';
import { ColumnCipher } from './column-cipher.js';
import type { CellKey } from './data-key.js';
import { type DataKeyId, formatHeader } from './envelope.js';
import { type CellType, cellTypes, isNullable, nullableType, paddedType, type ValueType } from './cell-type.js';
import type { Plaintext } from './value-encoding.js';
import { type KeyScope, tableScope } from './key-scope.js';

interface Vectors {
  readonly dataKey: string;
  readonly dataKeyId: DataKeyId;
  readonly place: Pick<ColumnIdentity, 'databaseId' | 'tableId' | 'columnId' | 'isRowBound'>;
  readonly cells: readonly {
    type: CellType;
    value: unknown;
    row: string[];
    nonce: string;
    aad: string;
    cell: string;
  }[];
  readonly unbound: { readonly value: string; readonly aad: string; readonly cell: string };
  readonly ofTenant: { readonly tenant: string; readonly row: RowKey } & Vectors['unbound'];
}

const vectors = JSON.parse(readFileSync(new URL('../test/vectors/cells.json', import.meta.url), 'utf8')) as Vectors;

function cellKey(
  dataKey: Buffer = randomBytes(32),
  id = randomBytes(16).toString('hex') as DataKeyId,
  scope: Partial<KeyScope> = {},
): CellKey {
  const header = formatHeader(id);
  const key = Buffer.from(hkdfSync('sha256', dataKey, '', 'nest-hsm cell key v1', 32));
  const place = { ...tableScope('Patient'), ...scope };
  return { id, scope: place, header, secret: cells().importKey(header, key), isRetired: false };
}

function encrypt(cipher: ColumnCipher, value: unknown, row: RowKey, key: CellKey): string {
  const batch = new CellBatch<Plaintext>([cipher]);
  batch.addRow(row);
  batch.addCell(cipher.encode(value));
  const [text] = encryptCells(batch, key);
  return text as string;
}

function decrypt(cipher: ColumnCipher, text: unknown, row: RowKey, ...keys: CellKey[]): unknown {
  const batch = new CellBatch([cipher]);
  batch.addRow(row);
  batch.addCell(text);
  const [plaintext] = decryptCells(batch, keys);
  return cipher.decode(plaintext as string | Buffer);
}

function cipherOf(type: CellType, change: Partial<ColumnIdentity> = {}, padTo?: number): ColumnCipher {
  return new ColumnCipher({ ...vectors.place, keyScope: 'table', type, ...change }, 'Patient.name', padTo);
}

/** JSON has no bytes, dates or 64-bit integers. */
const fromJson: Partial<Record<CellType, (value: unknown) => unknown>> = {
  bigint: (value) => BigInt(value as string),
  date: (value) => new Date(value as string),
  buffer: (value) => Buffer.from(value as string, 'hex'),
  paddedBuffer: (value) => Buffer.from(value as string, 'hex'),
};

describe('cells made by other software', () => {
  const key = cellKey(Buffer.from(vectors.dataKey, 'hex'), vectors.dataKeyId);

  it.each(vectors.cells)('$type $value', ({ type, value, row, aad, cell }) => {
    const identity = { ...vectors.place, keyScope: 'table' as const, type };
    const associatedData = Buffer.concat([
      cellAssociatedDataPrefix(identity, vectors.dataKeyId),
      rowAssociatedData(row),
    ]);
    expect(associatedData.toString('hex')).toBe(aad);
    const decrypted = decrypt(cipherOf(type), cell, row, key);
    expect(decrypted).toEqual((fromJson[type] ?? ((same: unknown) => same))(value));
  });

  it('bound to no row', () => {
    const { value, aad, cell } = vectors.unbound;
    const cipher = cipherOf('string', { isRowBound: false });
    const prefix = cellAssociatedDataPrefix(cipher.identity, vectors.dataKeyId);
    expect(Buffer.concat([prefix, rowAssociatedData(unboundRow)]).toString('hex')).toBe(aad);
    expect(decrypt(cipher, cell, unboundRow, key)).toBe(value);
    expect(() => decrypt(cipherOf('string'), cell, unboundRow, key)).toThrow(/want a cell written for this row/);
  });

  it('of a tenant, under no other scope of key', () => {
    const { tenant, row, value, aad, cell } = vectors.ofTenant;
    const cipher = cipherOf('string', { keyScope: 'tenant' });
    const prefix = cellAssociatedDataPrefix(cipher.identity, vectors.dataKeyId, tenant);
    expect(Buffer.concat([prefix, rowAssociatedData(row)]).toString('hex')).toBe(aad);
    const scoped = (scope: Partial<KeyScope>) => cellKey(Buffer.from(vectors.dataKey, 'hex'), vectors.dataKeyId, scope);
    expect(decrypt(cipher, cell, row, scoped({ tenant }))).toBe(value);
    for (const scope of [{}, { tenant: 'south' }, { tenant, tableId: 'Doctor' }, { tenant, columnId: 'email' }]) {
      expect(() => decrypt(cipher, cell, row, scoped(scope))).toThrow(/want a cell written for this row/);
    }
    expect(() => decrypt(cipherOf('string'), cell, row, scoped({ tenant }))).toThrow(/want a cell written/);
  });
});

describe('a cell', () => {
  const row = ['1'];
  const key = cellKey();

  it('comes back as it was', () => {
    const values: Record<ValueType, fc.Arbitrary<unknown>> = {
      string: fc.string({ unit: 'grapheme' }),
      number: fc.double(),
      bigint: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      boolean: fc.boolean(),
      date: fc.date({ noInvalidDate: true }),
      json: fc.jsonValue().filter((value) => value !== null),
      buffer: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    };
    for (const [type, arbitrary] of Object.entries(values)) {
      const padded = paddedType(type as ValueType);
      const nullable = nullableType(padded ?? (type as ValueType)) as CellType;
      for (const held of [type as ValueType, ...(padded === undefined ? [] : [padded]), nullable]) {
        const cipher = cipherOf(held, {}, 8);
        fc.assert(
          fc.property(held === nullable ? fc.option(arbitrary) : arbitrary, (value) => {
            const expected = type === 'json' ? (JSON.parse(JSON.stringify(value)) as unknown) : value;
            expect(decrypt(cipher, encrypt(cipher, value, row, key), row, key)).toEqual(expected);
          }),
          { numRuns: 50 },
        );
      }
    }
  });

  it('has one length for every boolean, number and date', () => {
    const lengths = (type: ValueType, values: unknown[]) =>
      new Set(values.map((value) => encrypt(cipherOf(type), value, row, key).length));
    expect(lengths('boolean', [true, false]).size).toBe(1);
    expect(lengths('number', [0, -1e300, 0.1, Number.MAX_SAFE_INTEGER]).size).toBe(1);
    expect(lengths('bigint', [0n, -(2n ** 63n)]).size).toBe(1);
    expect(lengths('date', [new Date(0), new Date(8.64e15)]).size).toBe(1);
  });

  it('of null has the length of a short value, where null has one', () => {
    const types = Object.keys(cellTypes).filter((type) => isNullable(type as CellType)) as CellType[];
    const short = [0, 0n, true, new Date(0), 'eight by', { a: 1 }, Buffer.from('bytes')];
    const pairs = types.map((type, index) => {
      const cipher = cipherOf(type, {}, 16);
      return [null, short[index]].map((value) => encrypt(cipher, value, row, key).length);
    });
    expect(pairs).toHaveLength(7);
    for (const [ofNull, ofValue] of pairs) expect(ofNull).toBe(ofValue);
  });

  it.each([
    ['no byte', 'nullableNumber', Buffer.alloc(0)],
    ['a first byte of neither', 'nullableBoolean', Buffer.of(2, 1)],
    ['a value after the byte of null', 'nullableNumber', Buffer.of(0, 0, 0, 0, 0, 0, 0, 0, 1)],
    ['a padding that does not end', 'paddedBuffer', Buffer.alloc(8)],
  ] as const)('of %s is no value', (_, type, plaintext) => {
    expect(() => cipherOf(type).decode(plaintext)).toThrow(/want a cell written for this row/);
  });

  it('never has the nonce of another', () => {
    const cipher = cipherOf('string');
    const nonces = Array.from({ length: 5_000 }, () => encrypt(cipher, 'x', row, key).slice(28, 44));
    expect(new Set(nonces).size).toBe(nonces.length);
  });

  it('may be of more keys than the addon takes at once', () => {
    const columns = Array.from({ length: 64 }, (_, index) => cipherOf('string', { columnId: `column ${index}` }));
    // Each with a row of its own: 64 columns of them are more than 65,536.
    const keys = Array.from({ length: 1_100 }, () => cellKey());
    const batch = new CellBatch<unknown>(columns);
    for (const [index, key] of keys.entries()) {
      const row = [String(index)];
      batch.addRow(row);
      for (const [place, column] of columns.entries())
        batch.addCell(place === index % 64 ? encrypt(column, `value ${index}`, row, key) : null);
    }
    const values = decryptCells(batch, keys).filter((value) => value !== null);
    expect(values).toEqual(keys.map((_, index) => `value ${index}`));
    batch.cells[1_099 * 64] = batch.cells[0];
    const failure = { code: 'ERR_DATA_DECRYPTION_FAILED' };
    expect(() => decryptCells(batch, keys)).toThrow(expect.objectContaining(failure) as Error);
  });

  it('may be of the key of its table or of its column, and of no other column', () => {
    const ofColumn = cellKey(randomBytes(32), key.id, { columnId: 'name' });
    for (const keyScope of ['table', 'column'] as const) {
      const reader = cipherOf('string', { keyScope });
      expect(decrypt(reader, encrypt(cipherOf('string'), 'Ada', row, key), row, key)).toBe('Ada');
      expect(decrypt(reader, encrypt(reader, 'Ada', row, ofColumn), row, ofColumn)).toBe('Ada');
    }
    const other = cipherOf('string', { columnId: 'email' });
    const cell = encrypt(cipherOf('string'), 'Ada', row, ofColumn);
    expect(() => decrypt(other, cell, row, ofColumn)).toThrow(/want a cell written/);
    expect(() => encrypt(other, 'Ada', row, ofColumn)).toThrow(/want a data key of its scope, got another/);
  });

  const cipher = cipherOf('string');
  const cell = encrypt(cipher, 'Ada', row, key);
  const failure: object = {
    code: 'ERR_DATA_DECRYPTION_FAILED',
    message: 'Patient.name: want a cell written for this row, got another',
  };
  it.each([
    ['another row', () => decrypt(cipher, cell, ['2'], key)],
    ['a row of two columns', () => decrypt(cipher, cell, ['1', ''], key)],
    ['another database', () => decrypt(cipherOf('string', { databaseId: 'x' }), cell, row, key)],
    ['another table', () => decrypt(cipherOf('string', { tableId: 'x' }), cell, row, key)],
    ['another column', () => decrypt(cipherOf('string', { columnId: 'x' }), cell, row, key)],
    ['another type', () => decrypt(cipherOf('buffer'), cell, row, key)],
    ['another key under the same id', () => decrypt(cipher, cell, row, cellKey(randomBytes(32), key.id))],
    ['no key', () => decrypt(cipher, cell, row)],
  ])('fails for %s, always alike', (_, attempt) => {
    expect(attempt).toThrow(expect.objectContaining(failure) as Error);
  });

  it('fails when any of its bits is changed', () => {
    const bytes = Buffer.from(cell, 'base64');
    for (let bit = 21 * 8; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3] ^= 1 << (bit & 7);
      expect(() => decrypt(cipher, changed.toString('base64'), row, key)).toThrow(
        expect.objectContaining(failure) as Error,
      );
    }
  });

  it('fails with a shortened tag', () => {
    const bytes = Buffer.from(cell, 'base64');
    for (const cut of [1, 4, 12, 15]) {
      const shortened = bytes.subarray(0, bytes.length - cut).toString('base64');
      expect(() => decrypt(cipher, shortened, row, key)).toThrow(expect.objectContaining(failure) as Error);
    }
  });
});
