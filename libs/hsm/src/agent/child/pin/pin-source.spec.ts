import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readPin } from './pin-source.js';

const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-pin-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const path = join(directory, 'pin');
function file(content: string, mode = 0o600) {
  rmSync(path, { force: true });
  writeFileSync(path, content);
  chmodSync(path, mode);
  return { file: path };
}
const node = (script: string) => ({ command: [process.execPath, '-e', script] });

describe('a file', () => {
  test.each([
    ['as it is', '1234', '1234'],
    ['without its newline', '1234\n', '1234'],
    ['without a Windows newline', '1234\r\n', '1234'],
    ['with the blanks it has', ' 12 34 \n', ' 12 34 '],
    ['up to the first newline', '1234\nsecond line\n', '1234'],
    ['in UTF-8', 'gehëim❄', 'gehëim❄'],
  ])('is read %s', async (_how, content, pin) => {
    expect((await readPin(file(content))).toString()).toBe(pin);
  });

  test.each([0o600, 0o400])('may have mode %o', async (mode) => {
    expect((await readPin(file('1234', mode))).toString()).toBe('1234');
  });

  test.each([0o640, 0o604, 0o660, 0o610, 0o644])('must not have mode %o', async (mode) => {
    await expect(readPin(file('1234', mode))).rejects.toMatchObject({
      code: 'ERR_HSM_PIN_SOURCE',
      message: expect.stringMatching(/want mode 0600 or 0400, got 0\d{3}$/),
    });
  });

  test('reached through a link is judged by what it is, not by the link', async () => {
    const link = join(directory, 'link');
    file('1234', 0o644);
    symlinkSync(path, link);
    await expect(readPin({ file: link })).rejects.toThrow(/want mode/);
    chmodSync(path, 0o400);
    expect((await readPin({ file: link })).toString()).toBe('1234');
  });

  test('of another user is refused', async () => {
    if (process.getuid?.() !== 0) return expect(process.getuid?.()).not.toBe(0);
    const source = file('1234');
    chownSync(path, 12_345, 12_345);
    await expect(readPin(source)).rejects.toThrow(/owned by this user or root, got user 12345/);
  });

  test.each([
    ['an empty one', ''],
    ['a newline alone', '\n'],
    ['one too long', 'x'.repeat(257)],
  ])('%s holds no PIN', async (_name, content) => {
    await expect(readPin(file(content))).rejects.toMatchObject({ code: 'ERR_HSM_PIN_SOURCE' });
  });

  test('that is not UTF-8 is refused before it costs an attempt', async () => {
    const source = file('');
    writeFileSync(path, Buffer.from([0x31, 0xff, 0x32]));
    await expect(readPin(source)).rejects.toThrow(/of UTF-8, got other bytes$/);
  });

  test('that is missing, a directory or a FIFO is refused at once', async () => {
    const fifo = join(directory, 'fifo');
    execFileSync('mkfifo', ['-m', '600', fifo]);
    await expect(readPin({ file: join(directory, 'none') })).rejects.toThrow(/got ENOENT/);
    await expect(readPin({ file: directory })).rejects.toMatchObject({ code: 'ERR_HSM_PIN_SOURCE' });
    await expect(readPin({ file: fifo })).rejects.toThrow(/want a regular file/);
  });
});

describe('a command', () => {
  test('gives its first line', async () => {
    expect((await readPin(node('console.log("1234"); console.log("more")'))).toString()).toBe('1234');
  });

  test('runs without a shell', async () => {
    const source = { command: [process.execPath, '-e', 'console.log(process.argv[1])', '$(echo 1);`id`'] };
    expect((await readPin(source)).toString()).toBe('$(echo 1);`id`');
  });

  test.each([
    ['that fails', 'console.log("1234"); process.exit(3)', /got exit 3$/],
    ['that says nothing', '', /want 1 to 256 bytes of UTF-8, got 0$/],
    ['that never stops talking', 'for (;;) console.log("secret".repeat(100))', /PIN command/],
  ])('%s gives none', async (_name, script, message) => {
    await expect(readPin(node(script))).rejects.toMatchObject({
      code: 'ERR_HSM_PIN_SOURCE',
      message: expect.stringMatching(message),
    });
  });

  test('that is missing is named', async () => {
    await expect(readPin({ command: ['/no/such/program'] })).rejects.toThrow(
      /\/no\/such\/program: want a PIN, got exit ENOENT/,
    );
  });

  test('leaves nothing of its output in an error', async () => {
    const error: unknown = await readPin(
      node('console.log("topsecret"); console.error("topsecret"); process.exit(1)'),
    ).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Error);
    expect(JSON.stringify([error, (error as Error).message, (error as Error).stack])).not.toContain('topsecret\\n');
    expect((error as Error).cause).toBeUndefined();
  });
});

test('a value is taken as it is', async () => {
  expect((await readPin({ value: '1234' })).toString()).toBe('1234');
  await expect(readPin({ value: '' })).rejects.toMatchObject({ code: 'ERR_HSM_PIN_SOURCE' });
});
