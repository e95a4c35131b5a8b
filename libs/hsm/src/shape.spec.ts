import fc from 'fast-check';
import { z } from 'zod';
import * as shapes from './shape.js';

const { base64, boolean, byKind, dictionaryOf, either, fits, integer, listOf, matching, number } = shapes;
const { oneOf, openRecord, optional, record, text, timestamp } = shapes;

/** One of each shape beside what zod says of the same. */
const twins: readonly [string, shapes.Shape<unknown>, z.ZodType][] = [
  ['a boolean', boolean, z.boolean()],
  ['a text', text(1, 4), z.string().min(1).max(4)],
  ['a text of a pattern', matching(/^[0-9a-f]{2}$/), z.string().regex(/^[0-9a-f]{2}$/)],
  ['base64', base64, z.base64()],
  ['a time', timestamp, z.iso.datetime({ precision: 3 })],
  ['a number', number(-1, 1.5), z.number().min(-1).max(1.5)],
  ['any number', number(), z.number()],
  ['a whole number', integer(1, 9), z.int().min(1).max(9)],
  ['one of a list', oneOf(['a', 1]), z.literal(['a', 1])],
  ['a list', listOf(boolean, 1), z.array(z.boolean()).min(1)],
  ['a dictionary', dictionaryOf(integer()), z.record(z.string(), z.int())],
  ['a record', record({ a: text(), b: optional(integer()) }), z.strictObject({ a: z.string(), b: z.int().optional() })],
  ['an open record', openRecord({ a: text() }), z.looseObject({ a: z.string() })],
  [
    'either',
    either(record({ a: text() }), record({ b: text() })),
    z.union([z.strictObject({ a: z.string() }), z.strictObject({ b: z.string() })]),
  ],
  [
    'a kind',
    byKind('kind', { a: openRecord({ a: text() }), b: openRecord({}) }),
    z.discriminatedUnion('kind', [
      z.looseObject({ kind: z.literal('a'), a: z.string() }),
      z.looseObject({ kind: z.literal('b') }),
    ]),
  ],
];

const leaf = fc.oneof(
  fc.constantFrom('a', 'b', '0f', 'YQ==', 'YWI=', 'YQ=', '2024-02-29T00:00:00.000Z', '2023-02-29T00:00:00.000Z'),
  fc.constantFrom(1, 9, 10, 1.5, -1, 2 ** 53, null),
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  fc.base64String(),
  fc.jsonValue({ maxDepth: 1 }),
);
const name = fc.constantFrom('a', 'b', 'kind', 'c', '__proto__', 'constructor');
/** As it comes out of JSON.parse. */
const value = fc
  .oneof(leaf, fc.array(leaf, { maxLength: 3 }), fc.dictionary(name, leaf, { maxKeys: 3 }))
  .map((each) => JSON.parse(JSON.stringify(each)) as unknown);

test.each(twins)('%s is what zod takes for it', (_, shape, schema) => {
  fc.assert(
    fc.property(value, (each) => {
      // zod drops a field of that name, where a shape refuses what is not its own.
      fc.pre(typeof each !== 'object' || each === null || !Object.hasOwn(each, '__proto__'));
      expect(fits(shape, each)).toBe(schema.safeParse(each).success);
    }),
    { numRuns: 300 },
  );
});

test('a fault names its place, and never the value', () => {
  const shape = record({ pin: record({ command: listOf(text(1)) }) });
  expect(shape({ pin: { command: ['a', 4_711] } })).toBe('pin.command.1: want a text of 1 characters or more');
  expect(shape({ pin: { command: [], ['4711'.repeat(100)]: 1 } })).toBe(`pin.${'4711'.repeat(10)}: want no such field`);
  expect(shape(JSON.parse('{"pin":{"command":[]},"__proto__":{}}'))).toBe('__proto__: want no such field');
});

test('what a prototype has is not there', () => {
  const inherits: unknown = Object.create({ a: 'of the prototype' });
  expect(record({ a: text() })(inherits)).toMatch(/^a: want/);
  expect(byKind('kind', { a: record({}) })({ kind: 'constructor' })).toBe('kind: want one of a');
});
