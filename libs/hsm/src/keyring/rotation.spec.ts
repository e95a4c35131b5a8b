import type { HsmKey } from '../key/key.js';
import { newKeyId, nextKeyId, versionOf } from '../key/key-version.js';
import { keyAges } from './rotation.js';

const day = (date: string) => new Date(`${date}T12:00:00Z`);

function key(id: HsmKey['id'], label: string): HsmKey {
  const facts = { algorithm: 'aes-256', usage: 'encrypt', extractable: false, uri: '', members: [] } as const;
  return { id, label, ...facts, ...versionOf({ id, label }) };
}
const made = (label: string, on: string) => key(newKeyId(label, undefined, day(on)), label);

it.each<[string, string, string, number | undefined, boolean]>([
  ['of the day it is made', '2026-05-01', '2026-05-01', 0, false],
  ['a day younger than it may get', '2026-05-01', '2026-05-30', 29, false],
  ['as old as it may get', '2026-05-01', '2026-05-31', 30, true],
  ['made tomorrow, by another clock', '2026-05-01', '2026-04-30', 0, false],
])('a key %s', (_, madeOn, now, ageDays, isDue) => {
  const keys = [made('kek', madeOn)];
  const rules = [{ label: 'kek', maximumAgeDays: 30 }];
  expect(keyAges(keys, rules, day(now))).toEqual([{ key: keys[0], ageDays, maximumAgeDays: 30, isDue }]);
});

it('is due at an unknown age, where there is a rule', () => {
  const old = key('00112233445566778899aabbccddeeff' as HsmKey['id'], 'kek');
  expect(keyAges([old], [{ label: 'k*', maximumAgeDays: 30 }])).toMatchObject([{ ageDays: undefined, isDue: true }]);
  expect(keyAges([old], [{ label: 'other', maximumAgeDays: 30 }])).toMatchObject([{ isDue: false }]);
});

it('is not due when it has a successor', () => {
  const first = made('kek', '2026-01-01');
  const second = key(nextKeyId(first, day('2026-05-01')), 'kek');
  const ages = keyAges([second, first], [{ label: 'kek', maximumAgeDays: 30 }], day('2026-06-15'));
  expect(ages.map(({ isDue }) => isDue)).toEqual([true, false]);
});

it('is ruled by the first rule that matches its label', () => {
  const rules = [
    { label: 'tls-a', maximumAgeDays: 1_000 },
    { label: 'tls-*', maximumAgeDays: 1 },
  ];
  const ages = keyAges([made('tls-a', '2026-01-01'), made('tls-b', '2026-01-01')], rules, day('2026-02-01'));
  expect(ages.map(({ isDue }) => isDue)).toEqual([false, true]);
});
