import fc from 'fast-check';

type Edit =
  | { readonly kind: 'replace' | 'insert'; readonly at: number; readonly octets: Uint8Array }
  | { readonly kind: 'remove' | 'repeat'; readonly at: number; readonly length: number }
  | { readonly kind: 'add'; readonly at: number; readonly value: number }
  | { readonly kind: 'splice'; readonly at: number; readonly from: number; readonly length: number };

/** Where in an input, in parts of 2^16: inputs have many lengths. */
const place = fc.nat(0xffff);
/** Octets that decide something in DER: tags, lengths, the ends of their ranges. */
const telling = fc.constantFrom(
  0x00,
  0x01,
  0x02,
  0x03,
  0x04,
  0x05,
  0x06,
  0x0c,
  0x1f,
  0x30,
  0x31,
  0x7f,
  0x80,
  0x81,
  0x82,
  0x84,
  0xa0,
  0xff,
);
const octets = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 4 }),
  telling.map((octet) => Uint8Array.of(octet)),
);

const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.record({ kind: fc.constantFrom('replace' as const, 'insert' as const), at: place, octets }),
  fc.record({
    kind: fc.constantFrom('remove' as const, 'repeat' as const),
    at: place,
    length: fc.integer({ min: 1, max: 64 }),
  }),
  fc.record({ kind: fc.constant('add' as const), at: place, value: fc.integer({ min: -2, max: 2 }) }),
  fc.record({ kind: fc.constant('splice' as const), at: place, from: place, length: fc.integer({ min: 1, max: 128 }) }),
);

/** Inputs a few edits away from sound ones; some are random from end to end. */
export function mutationsOf(seeds: readonly Buffer[]): fc.Arbitrary<Buffer> {
  const mutated = fc
    .record({
      seed: fc.constantFrom(...seeds),
      other: fc.constantFrom(...seeds),
      edits: fc.array(edit, { maxLength: 6 }),
    })
    .map(({ seed, other, edits }) =>
      edits.reduce<Buffer>((input, each) => apply(input, each, other), Buffer.from(seed)),
    );
  const random = fc.uint8Array({ maxLength: 300 }).map((bytes): Buffer => Buffer.from(bytes));
  return fc.oneof({ weight: 20, arbitrary: mutated }, { weight: 1, arbitrary: random });
}

function apply(input: Buffer, change: Edit, other: Buffer): Buffer {
  const at = Math.floor((change.at / 0x10000) * (input.length + 1));
  const around = (middle: Uint8Array, skipped: number): Buffer =>
    Buffer.concat([input.subarray(0, at), middle, input.subarray(at + skipped)]);
  switch (change.kind) {
    case 'replace':
      return around(change.octets, change.octets.length);
    case 'insert':
      return around(change.octets, 0);
    case 'remove':
      return around(Buffer.alloc(0), change.length);
    case 'repeat':
      return around(input.subarray(at, at + change.length), 0);
    case 'add':
      return around(Buffer.of(((input[at] ?? 0) + change.value) & 0xff), 1);
    case 'splice': {
      const from = Math.floor((change.from / 0x10000) * other.length);
      return around(other.subarray(from, from + change.length), change.length);
    }
  }
}
