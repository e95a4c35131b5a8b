import { fromBER } from 'asn1js';
import fc from 'fast-check';
import { buildCsr } from '../../../../test/support/csr.js';
import { DerError, type DerNode, maximumDepth, parseDer } from './der-reader.js';
import { der, type DerWriter, tags } from './der-writer.js';
import { decodeOid, encodeOid, oids } from './oid.js';

const judged: number[] = [
  tags.boolean,
  tags.integer,
  tags.bitString,
  tags.octetString,
  tags.null,
  tags.oid,
  tags.sequence,
  tags.set,
];
const hex = (bytes: Buffer): string => bytes.toString('hex');

describe('DerWriter', () => {
  test.each<[string, (writer: DerWriter) => void, string]>([
    ['INTEGER 0', (w) => w.integer(0), '020100'],
    ['INTEGER 127', (w) => w.integer(127), '02017f'],
    ['INTEGER 128', (w) => w.integer(128), '02020080'],
    ['INTEGER 2^32', (w) => w.integer(2 ** 32), '02050100000000'],
    ['an unsigned magnitude with leading zeros', (w) => w.unsignedInteger(Buffer.from('0000ff', 'hex')), '020200ff'],
    ['BOOLEAN TRUE', (w) => w.boolean(true), '0101ff'],
    ['NULL', (w) => w.null(), '0500'],
    ['an OBJECT IDENTIFIER', (w) => w.oid('1.2.840.113549.1.1.11'), '06092a864886f70d01010b'],
    ['digitalSignature', (w) => w.namedBits([0]), '03020780'],
    ['keyCertSign and cRLSign', (w) => w.namedBits([5, 6]), '03020106'],
    ['decipherOnly', (w) => w.namedBits([8]), '0303070080'],
    ['the last UTCTime', (w) => w.time(new Date('2049-12-31T23:59:59Z')), '170d3439313233313233353935395a'],
    [
      'the first GeneralizedTime',
      (w) => w.time(new Date('2050-01-01T00:00:00Z')),
      '180f32303530303130313030303030305a',
    ],
    ['nested SEQUENCEs', (w) => w.sequence(() => w.sequence(() => w.null()).null()), '3006300205000500'],
  ])('writes %s', (_, write, expected) => {
    expect(hex(der(write))).toBe(expected);
  });

  test.each([0, 127, 128, 255, 256, 65_535, 65_536, 70_000])(
    'writes lengths of %i octets in the shortest form',
    (length) => {
      const written = der((w) => w.sequence(() => w.octetString(Buffer.alloc(length, 7))));
      const [inner] = parseDer(written).children;
      expect(inner.content).toHaveLength(length);
      expect(inner.tag).toBe(tags.octetString);
    },
  );
});

test.each(Object.entries(oids))('the object identifier of %s survives a round trip', (_, oid) => {
  expect(decodeOid(encodeOid(oid))).toBe(oid);
});

describe('parseDer', () => {
  test.each([
    ['nothing', ''],
    ['a tag alone', '30'],
    ['content cut short', '300205'],
    ['octets behind the end', '050000'],
    ['an indefinite length', '30800000'],
    ['a long form of a short length', '04810100'],
    ['a leading zero in a length', '0482008000'],
    ['a length of five octets', '04850000000001ff'],
    ['a high tag number', '1f8101'],
    ['end-of-contents', '0000'],
    ['BOOLEAN 01', '010101'],
    ['an empty INTEGER', '0200'],
    ['an INTEGER with a needless zero', '0202007f'],
    ['an INTEGER with a needless ff', '0202ff80'],
    ['NULL with content', '050100'],
    ['a BIT STRING without its first octet', '0300'],
    ['eight unused bits', '03020800'],
    ['unused bits that are set', '03020101'],
    ['unused bits of nothing', '030101'],
    ['an empty OBJECT IDENTIFIER', '0600'],
    ['an unfinished OBJECT IDENTIFIER', '06022a86'],
    ['a padded arc', '06032a8001'],
    ['an endless OBJECT IDENTIFIER', `0641${'01'.repeat(65)}`],
    ['a primitive SEQUENCE', '1000'],
    ['a constructed OCTET STRING', '24020400'],
  ])('refuses %s', (_, input) => {
    expect(() => parseDer(Buffer.from(input, 'hex'))).toThrow(DerError);
  });

  test('bounds nesting', () => {
    const nested = (depth: number): Buffer =>
      depth === 1 ? Buffer.from('0500', 'hex') : der((w) => w.sequence(() => w.raw(nested(depth - 1))));
    expect(parseDer(nested(maximumDepth)).tag).toBe(tags.sequence);
    expect(() => parseDer(nested(maximumDepth + 1))).toThrow('nesting');
  });

  test('throws nothing but DerError, and accepts nothing a general parser refuses', () => {
    const sound = buildCsr();
    const mutation = fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { maxLength: 4 });
    const cut = fc.nat(sound.length);
    fc.assert(
      fc.property(mutation, cut, fc.boolean(), (changes, length, isCut) => {
        const input = Buffer.from(isCut ? sound.subarray(0, length) : sound);
        for (const [at, value] of changes) if (at < input.length) input[at] = value;
        // The content of other types is not judged here: nothing reads it.
        if (!accepts(input) || !isOfKnownTypes(parseDer(input))) return;
        expect(fromBER(new Uint8Array(input)).offset).toBe(input.length);
      }),
      { numRuns: 5_000, seed: 20261122 },
    );
  });

  test('throws nothing but DerError for random octets', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => void accepts(Buffer.from(octets))),
      { numRuns: 5_000, seed: 1 },
    );
  });
});

function isOfKnownTypes({ tag, children }: DerNode): boolean {
  const isKnown = tag >= 0x40 || judged.includes(tag);
  return isKnown && children.every(isOfKnownTypes);
}

function accepts(input: Buffer): boolean {
  try {
    parseDer(input);
    return true;
  } catch (error) {
    if (error instanceof DerError) return false;
    throw error;
  }
}
