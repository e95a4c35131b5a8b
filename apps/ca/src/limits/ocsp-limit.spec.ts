import { OcspLimit } from './ocsp-limit.js';

const limit = (): OcspLimit => new OcspLimit({ signatures: 2, seconds: 60 });
const spend = (of: OcspLimit, address: string, times: number): void => {
  for (let spent = 0; spent < times; spent += 1) of.of(address).spend();
};

test('a source that has had its signatures has none left, and another one has', () => {
  const limits = limit();
  spend(limits, '192.0.2.1', 2);
  expect(['192.0.2.1', '192.0.2.2'].map((address) => limits.of(address).isSpent)).toEqual([true, false]);
});

test.each([
  ['2001:db8::1', '2001:db8::ffff:1', true],
  ['2001:db8::1', '2001:db8:0:0:1:2:3:4', true],
  ['2001:db8::1', '2001:db8:0:1::1', false],
  ['2001:db8::1', '2001:0DB8:0000::2', true],
  ['no address', 'nor this', true],
  ['fe80::1%eth0', 'fe80::2%eth0', true],
  ['::1', '::2', false],
  ['::ffff:192.0.2.1', '::ffff:192.0.2.2', false],
])('%s and %s are one source: %s', (one, other, isOne) => {
  const limits = limit();
  spend(limits, one, 2);
  expect(limits.of(other).isSpent).toBe(isOne);
});
