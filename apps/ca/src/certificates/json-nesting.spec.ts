import { isNestedDeeper } from './json-nesting.js';

test.each<[string, string, boolean]>([
  ['an object of arrays', '{"requests":[{"csr":"x"},{"csr":"y"}]}', false],
  ['as deep as it may be', '[[[1]],[[]]]', false],
  ['one deeper', '[[[{}]]]', true],
  ['brackets of both kinds', '{"a":[{"b":[]}]}', true],
  ['brackets in a string', '["[[[[{{{{"]', false],
  ['brackets behind an escaped quote', String.raw`["\"[[[[", "\\"]`, false],
  ['brackets behind an escaped backslash', String.raw`["\\",[[[]]]]`, true],
  ['a string without an end', '["[[[[', false],
  ['what is never closed', '[[[[', true],
  ['closed more than opened', ']]]][[[[[[[', false],
  ['nothing', '', false],
])('%s', (_, json, isDeeper) => {
  expect(isNestedDeeper(Buffer.from(json), 3)).toBe(isDeeper);
});
