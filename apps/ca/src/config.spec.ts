import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { type Config, readConfig } from './config.js';

const directory = mkdtempSync(join(tmpdir(), 'ca-config-'));
const sound = parse(readFileSync('compose/ca.yaml', 'utf8')) as { hsm: { members: object[] } };

afterAll(() => rmSync(directory, { recursive: true }));

function hsmOf(section: object): Config['hsm'] {
  const file = join(directory, 'ca.yaml');
  writeFileSync(file, stringify({ ...sound, hsm: { ...sound.hsm, ...section } }));
  return readConfig(file).hsm;
}

const issuerKeys = (audit: object | undefined): readonly string[] | undefined => hsmOf({ audit }).audit?.issuerKeys;

test('all keys but those of OCSP responders are issuers’ to the trail, unless it is said which are', () => {
  expect(issuerKeys({ directory })).toEqual(['*', '!*-ocsp']);
  expect(issuerKeys({ directory, issuerKeys: ['issuing'] })).toEqual(['issuing']);
  expect(issuerKeys(undefined)).toBeUndefined();
});

test('a token of its own has 32 sessions unless it is said how many; a shared agent is asked for what all are', () => {
  const [token] = sound.hsm.members;
  const shared = { name: 'shared', socket: '/run/nest-hsm/ca/agent.sock' };
  const { members } = hsmOf({ members: [token, { ...token, name: 'few', sessions: 4 }, shared] });
  expect(members.map(({ sessions }) => sessions)).toEqual([32, 4, 16]);
});

test.each([
  ['members', 'none'],
  ['members', ['none']],
])('faults of %s %j are told as they are', (name, value) => {
  expect(() => hsmOf({ [name]: value })).toThrow(/hsm\.members/);
});
