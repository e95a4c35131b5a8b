import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RefusedPinRecord } from './refused-pin.js';

const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-refused-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
afterEach(() => readdirSync(directory).forEach((name) => rmSync(join(directory, name))));

const wrong = Buffer.from('wrong');

test('a refused PIN is remembered, another one and another token are not', async () => {
  const record = new RefusedPinRecord(directory, 'token 1');
  expect(await record.holds(wrong)).toBe(false);
  await record.write(wrong);
  expect(await record.holds(wrong)).toBe(true);
  expect(await record.holds(Buffer.from('right'))).toBe(false);
  expect(await new RefusedPinRecord(directory, 'token 1').holds(wrong)).toBe(true);
  expect(await new RefusedPinRecord(directory, 'token 2').holds(wrong)).toBe(false);
  await record.clear();
  expect(await record.holds(wrong)).toBe(false);
});

test('one file of mode 0600 holds a salted digest and never the PIN', async () => {
  const record = new RefusedPinRecord(directory, 'token 1');
  await record.write(wrong);
  const [first] = contents();
  await record.write(wrong);
  const [second, ...others] = contents();
  expect(others).toEqual([]);
  expect(second).not.toBe(first);
  expect(second).not.toContain('wrong');
  expect(second).not.toContain(wrong.toString('base64'));
  expect(statSync(join(directory, readdirSync(directory)[0])).mode & 0o777).toBe(0o600);
});

test('a damaged record stops the login instead of letting it try', async () => {
  const record = new RefusedPinRecord(directory, 'token 1');
  await record.write(wrong);
  writeFileSync(join(directory, readdirSync(directory)[0]), '{');
  await expect(record.holds(wrong)).rejects.toMatchObject({ code: 'ERR_HSM_PIN_SOURCE' });
});

function contents(): string[] {
  return readdirSync(directory).map((name) => readFileSync(join(directory, name), 'utf8'));
}
