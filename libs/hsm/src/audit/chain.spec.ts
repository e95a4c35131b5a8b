import fc from 'fast-check';
import { chainFault, type ChainPosition, chainStart, hashOfLine, positionAfter } from './chain.js';
import { type AuditRecord, parseAuditRecord } from './record.js';
import { rfc3339 } from './record-fields.js';

const client = fc.string({ minLength: 1, maxLength: 20 });
const events = fc.array(fc.record({ client, time: fc.nat(2 ** 41), attempt: fc.integer({ min: 1, max: 255 }) }), {
  minLength: 2,
  maxLength: 8,
});

/** The lines of a chain with these results. */
function chainOf(results: readonly { client: string; time: number; attempt: number }[]): Buffer[] {
  let prev = chainStart.hash;
  return results.map(({ client: who, time, attempt }, index) => {
    const facts = { client: who, operation: 'sign', attempt, result: 'ok', durationMicroseconds: 5 };
    const line = JSON.stringify({ seq: index + 1, prev, time: rfc3339(time), kind: 'result', ...facts });
    prev = hashOfLine(line);
    return Buffer.from(line);
  });
}

/** Where the lines lead; undefined where one is none or does not follow. */
function end(lines: readonly Buffer[]): ChainPosition | undefined {
  let position = chainStart;
  for (const line of lines) {
    const record = parseAuditRecord(line);
    if (record === undefined || chainFault(position, record) !== undefined) return undefined;
    position = positionAfter(record, line);
  }
  return position;
}

test('the lines of a chain follow each other', () => {
  fc.assert(fc.property(events, (results) => expect(end(chainOf(results))?.seq).toBe(results.length)));
});

test('a changed bit is found by the next line, or by whoever knows the last hash', () => {
  fc.assert(
    fc.property(events, fc.nat(), fc.nat(), fc.nat(7), (results, whichLine, whichByte, bit) => {
      const lines = chainOf(results);
      const original = end(lines);
      const line = lines[whichLine % lines.length];
      line[whichByte % line.length] ^= 1 << bit;
      const changed = end(lines);
      expect(changed).not.toEqual(original);
      if (whichLine % lines.length < lines.length - 1) expect(changed).toBeUndefined();
    }),
  );
});

test('a removed line is found', () => {
  fc.assert(
    fc.property(events, fc.nat(), (results, which) => {
      const lines = chainOf(results);
      const kept = lines.toSpliced(which % (lines.length - 1), 1);
      expect(end(kept)).toBeUndefined();
    }),
  );
});

test('lines in another order are found', () => {
  fc.assert(
    fc.property(events, fc.nat(), fc.nat(), (results, one, other) => {
      const lines = chainOf(results);
      const [a, b] = [one % lines.length, other % lines.length];
      fc.pre(a !== b);
      expect(end(lines.with(a, lines[b]).with(b, lines[a]))).toBeUndefined();
    }),
  );
});

test('a fault says what was wanted', () => {
  const [first, second] = chainOf([
    { client: 'a', time: 1, attempt: 1 },
    { client: 'b', time: 2, attempt: 1 },
  ]).map((line) => parseAuditRecord(line) as AuditRecord);
  expect(chainFault(chainStart, second)).toEqual({ field: 'seq', want: 1, got: 2 });
  expect(chainFault({ seq: 1, hash: chainStart.hash }, second)).toMatchObject({ field: 'prev', want: chainStart.hash });
  expect(chainFault(chainStart, first)).toBeUndefined();
});
