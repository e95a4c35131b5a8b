import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClientTokens } from './client-tokens.js';
import { SetupToken } from './setup-token.js';
import { readOrMakeToken } from './token-file.js';

describe('readOrMakeToken', () => {
  let directory: string;
  beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'nest-hsm-setup-token-'))));
  afterEach(() => rmSync(directory, { recursive: true }));

  test('makes a missing file for its owner alone, whatever the umask, and reads it again', () => {
    const file = join(directory, 'token');
    const umask = process.umask(0);
    const made = readOrMakeToken(file);
    process.umask(umask);
    const token = readFileSync(file, 'utf8').trim();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(Buffer.from(token, 'base64url')).toHaveLength(32);
    expect([made, readOrMakeToken(file)]).toEqual([token, token]);
  });

  test.each([
    ['others may read', 'x'.repeat(43), 0o640, 'want mode 0600, got 0640'],
    ['is too short', 'x'.repeat(31), 0o600, 'want at least 32 characters, got 31'],
    ['is empty', '', 0o600, 'want at least 32 characters, got 0'],
  ])('refuses a file that %s', (_, content, mode, message) => {
    const file = join(directory, 'token');
    writeFileSync(file, content, { mode });
    expect(() => readOrMakeToken(file)).toThrow(message);
  });

  test('never writes through a link', () => {
    const [link, target] = [join(directory, 'link'), join(directory, 'target')];
    symlinkSync(target, link);
    expect(() => readOrMakeToken(link)).toThrow(expect.objectContaining({ code: 'ERR_API_CONFIG' }) as Error);
    expect(() => statSync(target)).toThrow('ENOENT');
  });
});

test.each([
  ['the set-up token', (file: string) => SetupToken.ofFile(file).matches.bind(SetupToken.ofFile(file))],
  [
    "a client's token",
    (tokenFile: string) => {
      const tokens = new ClientTokens([{ name: 'a', tokenFile, scopes: ['certificates:read'] }]);
      return (token: string) => tokens.find(token)?.requester === 'client:a';
    },
  ],
])('%s matches itself and nothing else', (_, of) => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-setup-token-'));
  const matches = of(join(directory, 'token'));
  const token = readFileSync(join(directory, 'token'), 'utf8').trim();
  const others = ['', 'a', token.slice(1), `${token}a`, token.toLowerCase() + '-', 'b'.repeat(43)];
  expect([token, ...others].map(matches)).toEqual([true, ...others.map(() => false)]);
  rmSync(directory, { recursive: true });
});
