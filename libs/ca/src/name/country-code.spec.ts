import { existsSync, readFileSync } from 'node:fs';
import { isCountryCode } from './country-code.js';

const letters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'];
const known = letters.flatMap((first) => letters.map((second) => first + second)).filter(isCountryCode);

test('ISO 3166-1 and XX, and nothing else', () => {
  expect(known).toHaveLength(250);
  for (const code of ['UK', 'EU', 'AN', 'ZZ', 'de', 'D', 'DEU', '', '__']) expect(isCountryCode(code)).toBe(false);
});

/** Of the time zone database, which keeps its own list. */
const table = '/usr/share/zoneinfo/iso3166.tab';
(existsSync(table) ? test : test.skip)('the same codes as those of the time zone database', () => {
  const codes = readFileSync(table, 'utf8').matchAll(/^([A-Z]{2})\t/gm);
  expect(
    [...codes]
      .map(([, code]) => code)
      .concat('XX')
      .sort(),
  ).toEqual(known);
});
