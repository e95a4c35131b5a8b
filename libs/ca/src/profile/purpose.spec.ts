import { oidSchema, purposeOid, purposeSchema } from './purpose.js';

test.each(['0.9.2342', '1.3.6.1.4.1.32473.1', '2.999.268435455', `2.5${'.1'.repeat(18)}`])('%s is an OID', (oid) => {
  expect(oidSchema.parse(oid)).toBe(oid);
});

test.each([
  ['one arc', '1', 'want an OID'],
  ['a leading zero', '1.02.3', 'want an OID'],
  ['a first arc that is none', '3.1.2', 'want an OID'],
  ['a second arc that would be another OID', '1.40.2', 'want an OID'],
  ['a letter', '1.2.a', 'want an OID'],
  ['an arc that only JavaScript takes for a number', '1.2.1e400', 'want an OID'],
  ['an arc beyond all numbers', `1.2.${'9'.repeat(400)}`, 'want at most 100 characters'],
  ['21 arcs', `2.5${'.1'.repeat(19)}`, 'want at most 20 arcs'],
  ['an arc of 2^28', '1.2.268435456', 'want arcs below 2^28'],
  ['40 octets', `1.2${'.268435455'.repeat(9)}.16384`, 'want at most 39 octets'],
])('refuses an OID with %s', (_, oid, want) => {
  expect(oidSchema.safeParse(oid).error?.issues.map(({ message }) => message)).toContain(want);
});

test('a purpose is a name or an OID', () => {
  expect(purposeOid(purposeSchema.parse('serverAuth'))).toBe('1.3.6.1.5.5.7.3.1');
  expect(purposeOid(purposeSchema.parse('1.3.6.1.5.5.7.3.9'))).toBe('1.3.6.1.5.5.7.3.9');
});
