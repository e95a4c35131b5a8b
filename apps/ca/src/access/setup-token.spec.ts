import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SetupToken } from './setup-token.js';

describe('SetupToken', () => {
  let directory: string;
  beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'nest-hsm-setup-token-'))));
  afterEach(() => rmSync(directory, { recursive: true }));

  test('makes a missing file for its owner alone, whatever the umask, and reads it again', () => {
    const file = join(directory, 'token');
    const umask = process.umask(0);
    const made = SetupToken.ofFile(file);
    process.umask(umask);
    const token = readFileSync(file, 'utf8').trim();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(Buffer.from(token, 'base64url')).toHaveLength(32);
    expect([made.matches(token), SetupToken.ofFile(file).matches(token)]).toEqual([true, true]);
  });

  test('matches nothing else', () => {
    const token = new SetupToken('a'.repeat(43));
    expect(['', 'a', 'a'.repeat(42), 'a'.repeat(44), 'b'.repeat(43)].map((other) => token.matches(other))).toEqual(
      Array(5).fill(false),
    );
  });

  test.each([
    ['others may read', 'x'.repeat(43), 0o640, 'want mode 0600, got 0640'],
    ['is too short', 'x'.repeat(31), 0o600, 'want at least 32 characters, got 31'],
    ['is empty', '', 0o600, 'want at least 32 characters, got 0'],
  ])('refuses a file that %s', (_, content, mode, message) => {
    const file = join(directory, 'token');
    writeFileSync(file, content, { mode });
    expect(() => SetupToken.ofFile(file)).toThrow(message);
  });

  test('never writes through a link', () => {
    const [link, target] = [join(directory, 'link'), join(directory, 'target')];
    symlinkSync(target, link);
    expect(() => SetupToken.ofFile(link)).toThrow(expect.objectContaining({ code: 'ERR_API_CONFIG' }) as Error);
    expect(() => statSync(target)).toThrow('ENOENT');
  });
});
