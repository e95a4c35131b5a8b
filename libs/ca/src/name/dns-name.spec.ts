import { normalizeDnsName } from './dns-name.js';

test.each([
  ['api.example.test', 'api.example.test'],
  ['API.Example.TEST', 'api.example.test'],
  ['localhost', 'localhost'],
  ['*.example.test', '*.example.test'],
  ['München.example.test', 'xn--mnchen-3ya.example.test'],
  ['xn--mnchen-3ya.example.test', 'xn--mnchen-3ya.example.test'],
  ['*.münchen.example.test', '*.xn--mnchen-3ya.example.test'],
  ['straße.test', 'xn--strae-oqa.test'],
  ['1.example.test', '1.example.test'],
  [`${'a'.repeat(63)}.test`, `${'a'.repeat(63)}.test`],
])('%s is spelt %s', (text, spelling) => {
  expect(normalizeDnsName(text)).toBe(spelling);
});

test.each([
  ['nothing', ''],
  ['a dot', '.'],
  ['a final dot', 'example.test.'],
  ['an empty label', 'a..test'],
  ['a leading hyphen', '-a.test'],
  ['a trailing hyphen', 'a-.test'],
  ['an underscore', 'a_b.test'],
  ['a space', 'a b.test'],
  ['a NUL', 'a\0.test'],
  ['an escape a URL would decode', 'a%2etest'],
  ['a port', 'a.test:443'],
  ['user information', 'user@a.test'],
  ['a wildcard alone', '*'],
  ['a wildcard inside', 'a.*.test'],
  ['a partial wildcard', 'a*.test'],
  ['two wildcards', '*.*.test'],
  ['an IPv4 address', '127.0.0.1'],
  ['a hexadecimal address', '0x7f.1'],
  ['a full-width address', '１２７.0.0.1'],
  ['a numeric last label', 'a.123'],
  ['an A-label that means nothing', 'xn--a.test'],
  ['an A-label with capital punycode of ASCII', 'xn--abc-.test'],
  ['another prefix at the hyphens', 'ab--c.test'],
  ['a label of 64', `${'a'.repeat(64)}.test`],
  ['a name of 254', `${'a.'.repeat(126)}ab`],
])('refuses %s', (_, text) => {
  expect(() => normalizeDnsName(text)).toThrow(expect.objectContaining({ code: 'ERR_CA_NAME_INVALID' }) as Error);
});
