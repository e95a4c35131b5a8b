import { createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { cellAssociatedDataPrefix, type ColumnIdentity } from '../associated-data.js';
import { type DataKeyId, formatHeader, headerCharacters } from '../envelope.js';
import type { CellRows, Cells, CellSecret, IndexSecret } from './cells.js';
import { javascriptCells } from './javascript-cells.js';
import { cells as loadedCells } from './load-cells.js';
import { loadNativeCells } from './native-cells.js';

const native = loadNativeCells();
const implementations = [native, javascriptCells] as const;
/** Who writes and who reads. */
const pairs = implementations.flatMap((writer) => implementations.map((reader) => [writer.name, reader.name] as const));
const byName = Object.fromEntries(implementations.map((each) => [each.name, each])) as Record<Cells['name'], Cells>;

/** One key in both implementations. */
function newKey() {
  const header = formatHeader(randomBytes(16).toString('hex') as DataKeyId);
  const bytes = randomBytes(32);
  const secrets = Object.fromEntries(implementations.map((each) => [each.name, each.importKey(header, bytes)]));
  return { header, secrets: secrets as Record<Cells['name'], CellSecret> };
}

const key = newKey();
const prefix = Buffer.from('column');
const row = (...cells: unknown[]): CellRows<never> => ({ rowKeys: ['7'], keyTexts: 1, cells: cells as never[] });
const written = (plaintext: string | Buffer): string =>
  native.encrypt(key.secrets.native, [prefix], row(plaintext))[0] as string;
const read = (reader: Cells, text: unknown, areTexts = 1) =>
  reader.decrypt([key.secrets[reader.name]], [prefix], Uint8Array.of(areTexts), row(text));

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: 'grapheme', maxLength: 400 }),
  fc.constantFrom('', '\0', 'é'.repeat(3_000), '🐎'.repeat(1_366), 'a'.repeat(4_083)),
);
const bytes = fc.uint8Array({ maxLength: 300 }).map((each) => Buffer.from(each));

/** Some rows of some columns, text and bytes, with holes. */
const batches = fc
  .record({
    areTexts: fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }),
    keyTexts: fc.integer({ min: 1, max: 3 }),
  })
  .chain(({ areTexts, keyTexts }) =>
    fc.record({
      areTexts: fc.constant(areTexts),
      keyTexts: fc.constant(keyTexts),
      prefixes: fc.tuple(...areTexts.map(() => bytes)),
      rows: fc.array(
        fc.record({
          key: fc.array(fc.string({ unit: 'binary' }), { minLength: keyTexts, maxLength: keyTexts }),
          cells: fc.tuple(...areTexts.map((isText) => fc.option<string | Buffer>(isText ? text : bytes, { freq: 5 }))),
        }),
        { maxLength: 70 },
      ),
    }),
  );

describe('the addon and the reference', () => {
  it('are what is loaded, and what it is compared with', () => {
    expect(loadedCells().name).toBe('native');
    expect(implementations.map(({ name }) => name)).toEqual(['native', 'javascript']);
  });

  it.each(pairs)('what %s writes, %s reads, in batches of every shape', (writer, reader) => {
    fc.assert(
      fc.property(batches, ({ areTexts, keyTexts, prefixes, rows }) => {
        const rowKeys = rows.flatMap((each) => each.key);
        const plaintexts = rows.flatMap((each) => each.cells);
        const cells = byName[writer].encrypt(key.secrets[writer], prefixes, { rowKeys, keyTexts, cells: plaintexts });
        const kinds = Uint8Array.from(areTexts, Number);
        const back = byName[reader].decrypt([key.secrets[reader]], prefixes, kinds, { rowKeys, keyTexts, cells });
        // toEqual takes minutes for so many buffers.
        const comparable = (values: unknown) =>
          (values as unknown[]).map((each) => (each instanceof Uint8Array ? Buffer.from(each).toString('hex') : each));
        expect(comparable(back)).toEqual(comparable(plaintexts));
      }),
      { numRuns: 60 },
    );
  });

  it.each(pairs)('cells of several keys: %s writes, %s reads', (writer, reader) => {
    const keys = [newKey(), newKey(), newKey()];
    const prefixes = keys.map((_, index) => Buffer.from(`prefix ${index}`));
    const cells = [2, 0, 1, 1, 2, 0].map(
      (at, index) => byName[writer].encrypt(keys[at].secrets[writer], [prefixes[at]], row(`cell ${index}`))[0],
    );
    const rows = { rowKeys: cells.map(() => '7'), keyTexts: 1, cells };
    const secrets = keys.map((each) => each.secrets[reader]);
    expect(byName[reader].decrypt(secrets, prefixes, Uint8Array.of(1), rows)).toEqual(
      cells.map((_, index) => `cell ${index}`),
    );
    expect(byName[reader].decrypt(secrets.slice(0, 2), prefixes.slice(0, 2), Uint8Array.of(1), rows)).toBe(0);
    expect(byName[reader].decrypt([], [], Uint8Array.of(1), rows)).toBe(0);
  });

  it('agree on every text that is not what was written', () => {
    const changes = fc.constantFrom<(cell: string, at: number, other: string) => unknown>(
      (cell, at) => cell.slice(0, at),
      (cell, at) => cell.slice(at),
      (cell, at, other) => cell.slice(0, at) + other + cell.slice(at + other.length),
      (cell, at, other) => cell.slice(0, at) + other + cell.slice(at),
      (cell) => cell.replaceAll('=', ''),
      (cell, _, other) => cell + other,
      (_, __, other) => other,
      (cell) => cell.replaceAll('+', '-').replaceAll('/', '_'),
      (cell) => Buffer.from(cell),
      (_, at) => at,
    );
    fc.assert(
      fc.property(
        fc.oneof(text, bytes),
        fc.nat(),
        changes,
        fc.string({ unit: 'binary' }),
        (value, position, change, other) => {
          const cell = written(value);
          const changed = change(cell, position % (cell.length + 1), other);
          const expected = changed === cell || changed === null ? [changed === cell ? value : null] : 0;
          for (const reader of implementations) {
            const got = read(reader, changed, Number(typeof value === 'string'));
            expect([reader.name, got]).toEqual([reader.name, expected]);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  it.each(implementations)('$name refuses every single changed bit and every cut', (reader) => {
    const cell = written('Ada');
    const raw = Buffer.from(cell, 'base64');
    for (let bit = 0; bit < raw.length * 8; bit++) {
      const changed = Buffer.from(raw);
      changed[bit >> 3] ^= 1 << (bit & 7);
      expect(read(reader, changed.toString('base64'))).toBe(0);
    }
    for (let length = 0; length < raw.length; length++) {
      expect(read(reader, raw.subarray(0, length).toString('base64'))).toBe(0);
    }
    expect(read(reader, cell)).toEqual(['Ada']);
  });

  it.each(implementations)('$name takes one text for a cell only', (reader) => {
    // One plaintext of each length modulo 3: padding of two, one and no characters, whose last bits are zero.
    const cells = ['a', 'ab', 'abc'].map(written);
    const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
    for (const cell of cells) {
      const last = cell.replaceAll('=', '').length - 1;
      const others = [...digits].map((digit) => cell.slice(0, last) + digit + cell.slice(last + 1));
      expect(others.filter((other) => Array.isArray(read(reader, other)))).toEqual([cell]);
      const spellings = [
        `${cell}=`,
        ` ${cell}`,
        `${cell}\n`,
        `${cell}\0`,
        cell.replace(/=+$/, ''),
        cell.replace('=', 'Ľ'),
      ];
      for (const other of spellings.filter((each) => each !== cell)) expect(read(reader, other)).toBe(0);
      // U+0141 ends in the byte of `A`.
      const wide = cell.slice(0, headerCharacters) + String.fromCharCode(cell.charCodeAt(headerCharacters) + 0x100);
      expect(read(reader, wide + cell.slice(headerCharacters + 1))).toBe(0);
    }
  });

  it.each(implementations)('$name names the first cell that fails', (reader) => {
    const cells = [written('a'), null, written('b'), 'nothing', undefined, 'nothing'];
    const rows = { rowKeys: ['7', '7', '7'], keyTexts: 1, cells };
    expect(reader.decrypt([key.secrets[reader.name]], [prefix, prefix], Uint8Array.of(1, 1), rows)).toBe(3);
  });

  it.each(implementations)('$name keeps what is missing', (reader) => {
    expect(reader.encrypt(key.secrets[reader.name], [prefix, prefix], row(null, undefined))).toEqual([null, undefined]);
    const kinds = Uint8Array.of(1, 0);
    const secrets = [key.secrets[reader.name]];
    expect(reader.decrypt(secrets, [prefix, prefix], kinds, row(undefined, null))).toEqual([undefined, null]);
    expect(reader.encrypt(secrets[0], [prefix], { rowKeys: [], keyTexts: 1, cells: [] })).toEqual([]);
    expect(reader.decrypt(secrets, [prefix, prefix], kinds, { rowKeys: [], keyTexts: 1, cells: [] })).toEqual([]);
  });

  it.each(implementations)('$name never uses a nonce twice', (writer) => {
    const rows = {
      rowKeys: Array.from({ length: 3_000 }, () => '7'),
      keyTexts: 1,
      cells: Array.from({ length: 3_000 }, () => 'x'),
    };
    const nonces = writer
      .encrypt(key.secrets[writer.name], [prefix], rows)
      .map((cell) => cell?.slice(headerCharacters, headerCharacters + 16));
    expect(new Set(nonces).size).toBe(3_000);
  });

  it('read cells of other software, all of a kind in one batch', () => {
    const vectors = JSON.parse(readFileSync(new URL('../../test/vectors/cells.json', import.meta.url), 'utf8')) as {
      dataKey: string;
      dataKeyId: DataKeyId;
      place: Omit<ColumnIdentity, 'type'>;
      cells: { type: ColumnIdentity['type']; row: string[]; value: unknown; cell: string }[];
    };
    const strings = vectors.cells.filter(({ type, row: { length } }) => type === 'string' && length === 1);
    expect(strings.length).toBeGreaterThan(1);
    const bytesOfKey = Buffer.from(
      hkdfSync('sha256', Buffer.from(vectors.dataKey, 'hex'), '', 'nest-hsm cell key v1', 32),
    );
    const prefixes = [cellAssociatedDataPrefix({ ...vectors.place, type: 'string' }, vectors.dataKeyId)];
    for (const reader of implementations) {
      const secrets = [reader.importKey(formatHeader(vectors.dataKeyId), bytesOfKey)];
      const rows = {
        rowKeys: strings.flatMap((each) => each.row),
        keyTexts: 1,
        cells: strings.map(({ cell }) => cell),
      };
      expect(reader.decrypt(secrets, prefixes, Uint8Array.of(1), rows)).toEqual(strings.map(({ value }) => value));
    }
  });
});

describe('texts of blind indexes', () => {
  it('are the same by the addon and the reference, whatever the value', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 255 }), fc.oneof(text, bytes), (type, plaintext) => {
        const secret = randomBytes(32);
        const [first, second] = implementations.map((each) => each.importIndexKey('keyskeys', secret));
        expect(first.text(type, plaintext)).toBe(second.text(type, plaintext));
        // A key begins anew with every text.
        expect(first.text(type, plaintext)).toBe(second.text(type, plaintext));
      }),
    );
  });

  it('are HMAC-SHA-256 of the type and the plaintext (RFC 2104)', () => {
    const secret = randomBytes(32);
    const mac = createHmac('sha256', secret).update('\x07plaintext').digest().subarray(0, 18);
    for (const each of implementations) {
      const ofText = each.importIndexKey('keyskeys', secret).text(7, 'plaintext');
      expect(ofText).toBe(`keyskeys${mac.toString('base64')}`);
    }
  });
});

describe('the addon', () => {
  const secret = key.secrets.native;
  const indexSecret = native.importIndexKey('keyskeys', Buffer.alloc(32));
  const one = Uint8Array.of(1);
  const faults: readonly (readonly [string, () => unknown])[] = [
    ['a short key', () => native.importKey(key.header, Buffer.alloc(31))],
    ['a short header', () => native.importKey('x', Buffer.alloc(32))],
    ['something else for a key', () => native.encrypt({} as CellSecret, [prefix], row('x'))],
    [
      'a key of its own making',
      () => native.encrypt(Object.create(Object.getPrototypeOf(secret) as object) as CellSecret, [prefix], row('x')),
    ],
    ['no columns', () => native.encrypt(secret, [], row())],
    ['cells that do not fill their rows', () => native.encrypt(secret, [prefix, prefix], row('x'))],
    [
      'row keys that do not fill their rows',
      () => native.encrypt(secret, [prefix], { rowKeys: ['a'], keyTexts: 2, cells: [] }),
    ],
    ['rows of no key', () => native.encrypt(secret, [prefix], { rowKeys: [], keyTexts: 0, cells: [] })],
    [
      'a row key that is no text',
      () => native.encrypt(secret, [prefix], { rowKeys: [7 as never], keyTexts: 1, cells: ['x'] }),
    ],
    ['a plaintext that is none', () => native.encrypt(secret, [prefix], row(7))],
    ['a prefix that is none', () => native.encrypt(secret, ['x' as never], row('x'))],
    ['fewer prefixes than keys', () => native.decrypt([secret, secret], [prefix], one, row(written('x')))],
    ['a short key of an index', () => native.importIndexKey('keyskeys', Buffer.alloc(31))],
    ['a short tag', () => native.importIndexKey('keys', Buffer.alloc(32))],
    ['a type of two bytes', () => indexSecret.text(256, 'x')],
    ['a value of an index that is none', () => indexSecret.text(1, 7 as never)],
    [
      'a key of an index of its own making',
      () => (Object.create(Object.getPrototypeOf(indexSecret) as object) as IndexSecret).text(1, 'x'),
    ],
    ['a key of cells for one of an index', () => indexSecret.text.call(secret, 1, 'x')],
    ['something else for keys', () => native.decrypt([{} as CellSecret], [prefix], one, row(written('x')))],
  ];
  it.each(faults)('refuses %s', (_, misuse) => {
    // Of another realm than the test's, hence by name.
    expect(() => misuse()).toThrow(expect.objectContaining({ name: 'TypeError' }) as Error);
  });
});
