import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { readConfig } from './config.js';

const directory = mkdtempSync(join(tmpdir(), 'ca-config-'));
const sound = parse(readFileSync('compose/ca.yaml', 'utf8')) as { hsm: object };

afterAll(() => rmSync(directory, { recursive: true }));

function issuerKeys(audit: object | undefined): readonly string[] | undefined {
  const file = join(directory, 'ca.yaml');
  writeFileSync(file, stringify({ ...sound, hsm: { ...sound.hsm, audit } }));
  return readConfig(file).hsm.audit?.issuerKeys;
}

test('all keys but those of OCSP responders are issuers’ to the trail, unless it is said which are', () => {
  expect(issuerKeys({ directory })).toEqual(['*', '!*-ocsp']);
  expect(issuerKeys({ directory, issuerKeys: ['issuing'] })).toEqual(['issuing']);
  expect(issuerKeys(undefined)).toBeUndefined();
});
