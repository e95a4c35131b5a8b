import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readInput, writeOutputOnce } from './certificate-file.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nest-hsm-output-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('no more is read than a chain has, of a device without end either', async () => {
  await expect(readInput('/dev/zero')).rejects.toThrow(/want at most 1048576 octets, got more/);
  await expect(readInput(join(directory, 'none'))).rejects.toThrow(/want a readable file, got ENOENT/);
  const file = join(directory, 'whole');
  writeFileSync(file, Buffer.alloc(1024 * 1024, 1));
  expect(await readInput(file)).toHaveLength(1024 * 1024);
});

test('a file is written once, and left alone where it says the same', async () => {
  const file = join(directory, 'customerCA.crt');
  await writeOutputOnce(file, 'a certificate\n');
  await writeOutputOnce(file, 'a certificate\n');
  expect(readFileSync(file, 'utf8')).toBe('a certificate\n');
});

test('a file that says something else is left as it is, and that is an error', async () => {
  const file = join(directory, 'customerCA.crt');
  writeFileSync(file, 'that of another owner\n');
  const refused = writeOutputOnce(file, 'a certificate\n');
  await expect(refused).rejects.toMatchObject({ code: 'ERR_CLI_ARGUMENT' });
  await expect(refused).rejects.toThrow(/want no file, or the same content, got another/);
  expect(readFileSync(file, 'utf8')).toBe('that of another owner\n');
});

test('a file that cannot be written is an error', async () => {
  const refused = writeOutputOnce(join(directory, 'none', 'customerCA.crt'), 'a certificate\n');
  await expect(refused).rejects.toMatchObject({ code: 'ERR_CLI_ARGUMENT' });
  await expect(refused).rejects.toThrow(/want to write a new file, got ENOENT/);
});
