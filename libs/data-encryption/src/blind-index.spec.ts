import { hkdfSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { BlindIndex, type IndexKey, indexKeyTag, type Normalization, searchFault } from './blind-index.js';
import { javascriptCells } from './cells/javascript-cells.js';
import { loadNativeCells } from './cells/native-cells.js';
import type { DataKeyId } from './envelope.js';
import type { ValueType } from './cell-type.js';

interface IndexVector {
  readonly type: ValueType;
  readonly normalization: Normalization;
  readonly value: string | number;
  readonly text: string;
}

const vectors = JSON.parse(readFileSync(new URL('../test/vectors/cells.json', import.meta.url), 'utf8')) as {
  dataKey: string;
  dataKeyId: DataKeyId;
  indexes: IndexVector[];
};

const tag = indexKeyTag(vectors.dataKeyId);
const keyBytes = Buffer.from(
  hkdfSync('sha256', Buffer.from(vectors.dataKey, 'hex'), Buffer.alloc(0), 'nest-hsm index key v1', 32),
);
const keys = [loadNativeCells(), javascriptCells].map((cells): IndexKey => {
  return { id: vectors.dataKeyId, columnId: 'name', tag, secret: cells.importIndexKey(tag, keyBytes), isActive: true };
});
const [key] = keys;

const index = (normalization: Normalization, type: ValueType = 'string') =>
  new BlindIndex('name', type, normalization, 'Patient.name');

function valueOf({ type, value }: IndexVector): unknown {
  if (type === 'bigint') return BigInt(value);
  if (type === 'date') return new Date(value);
  return type === 'buffer' ? Buffer.from(String(value), 'hex') : value;
}

describe('a blind index', () => {
  it.each(vectors.indexes)('is what other software makes: $type $normalization $value', (vector) => {
    const blindIndex = index(vector.normalization, vector.type);
    const texts = keys.map((each) => blindIndex.text(valueOf(vector), each));
    expect(texts).toEqual([vector.text, vector.text]);
    expect(vector.text).toHaveLength(32);
  });

  it.each<[Normalization, string, string, boolean]>([
    ['exact', 'Ada', 'ada', false],
    ['exact', 'u\u0308', 'ü', false],
    ['nfc', 'u\u0308', 'ü', true],
    ['nfc', 'Ada', 'ada', false],
    ['nfkc-casefold', 'STRASSE', 'straße', true],
    ['nfkc-casefold', 'STRAẞE', 'ſtraße', true],
    ['nfkc-casefold', 'ΟΔΟΣ', 'οδος', true],
    ['nfkc-casefold', 'Ａｄａ ﬁ', 'ada FI', true],
    ['nfkc-casefold', 'ada', 'ada ', false],
    ['nfkc-casefold', 'İ', 'i', false],
    ['email', ' Ada@Example.org', 'ada@example.ORG ', true],
    ['email', 'ada+tag@example.org', 'ada@example.org', false],
    ['digits', '+43 660/12 34', '436601234', true],
    ['digits', '1２', '12', true],
    ['digits', '12', '21', false],
  ])('%s: %s and %s are the same: %s', (normalization, left, right, isSame) => {
    expect(index(normalization).text(left, key) === index(normalization).text(right, key)).toBe(isSame);
  });

  it('normalizes what is normalized to itself', () => {
    const texts = fc.string({ unit: 'grapheme', maxLength: 12 });
    for (const normalization of ['nfc', 'nfkc-casefold', 'digits'] as const) {
      fc.assert(
        fc.property(texts, (text) => {
          const once = index(normalization).text(text, key);
          expect(index(normalization).text(text.normalize('NFC'), key)).toBe(once);
        }),
      );
    }
  });

  it('takes 0 for -0 and every NaN for the same', () => {
    const odd = new Float64Array(new BigUint64Array([0xfff8_0000_0000_0001n]).buffer)[0];
    const number = index('exact', 'number');
    expect(number.text(-0, key)).toBe(number.text(0, key));
    expect(number.text(odd, key)).toBe(number.text(Number.NaN, key));
  });

  it('of another type is another', () => {
    expect(index('exact', 'number').text(0, key)).not.toBe(index('exact', 'bigint').text(0n, key));
  });

  it('refuses values of another type, without naming them', () => {
    expect(() => index('exact').text(424242, key)).toThrow('Patient.name: want a well-formed string, got number');
  });

  it.each<[ValueType, Normalization, RegExp | undefined]>([
    ['string', 'email', undefined],
    ['number', 'exact', undefined],
    ['boolean', 'exact', /boolean/],
    ['json', 'exact', /json/],
    ['number', 'digits', /exact for number/],
    ['string', 'soundex' as Normalization, /want a normalization of exact, nfc/],
  ])('of %s, normalized by %s: %s', (type, normalization, fault) => {
    const found = searchFault(type, normalization);
    if (fault === undefined) expect(found).toBeUndefined();
    else expect(found).toMatch(fault);
  });
});
