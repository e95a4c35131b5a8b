import { isListed, matchesLabel } from './label-pattern.js';

test.each<[string, readonly string[], readonly string[]]>([
  ['issuing', ['issuing'], ['issuing-2', 'an-issuing']],
  ['issuing*', ['issuing', 'issuing-2', 'issuing*'], ['an-issuing']],
  ['*-ocsp', ['issuing-ocsp', '-ocsp', '*-ocsp'], ['issuing-ocsp-2', 'ocsp']],
  ['*', ['', 'issuing'], []],
  ['*x*', ['*x', '*xy'], ['axb']],
  ['!issuing', ['!issuing'], ['issuing']],
])('%s is about %j and not about %j', (pattern, these, others) => {
  for (const label of these) expect([label, matchesLabel(pattern, label)]).toEqual([label, true]);
  for (const label of others) expect([label, matchesLabel(pattern, label)]).toEqual([label, false]);
});

test.each<[readonly string[], readonly string[], readonly string[]]>([
  [[], [], ['issuing']],
  [['root', 'issuing*'], ['root', 'issuing-2'], ['tls']],
  [['*', '!*-ocsp'], ['issuing', 'issuing-ocsp-2', 'ocsp', '!issuing'], ['issuing-ocsp']],
  [['*', '!*-ocsp', 'eu-ocsp'], ['eu-ocsp'], ['issuing-ocsp']],
  [['!*-ocsp', '*'], ['issuing-ocsp'], []],
])('the list %j has %j and not %j', (patterns, these, others) => {
  for (const label of these) expect([label, isListed(patterns, label)]).toEqual([label, true]);
  for (const label of others) expect([label, isListed(patterns, label)]).toEqual([label, false]);
});
