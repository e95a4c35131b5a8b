import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeyId } from '../key/key.js';
import { Keyring } from './keyring.js';
import { type KeyringRecord, toBlob } from './keyring-record.js';

let parent: string;
let directory: string;
let keyring: Keyring;
beforeEach(async () => {
  parent = mkdtempSync(join(tmpdir(), 'nest-hsm-keyring-'));
  directory = join(parent, 'keyring');
  keyring = await Keyring.open(directory);
});
afterEach(() => rmSync(parent, { recursive: true }));

const id = 'ab'.repeat(16) as KeyId;
const record: KeyringRecord = {
  version: 1,
  id,
  label: 'kek',
  algorithm: 'aes-256',
  usage: 'encrypt',
  state: 'sealed',
  generation: 3,
  checkValue: 'AAAA',
  members: ['a', 'b'],
  recovery: [
    {
      fingerprint: '00'.repeat(32),
      algorithm: 'rsa-oaep-sha1',
      transport: toBlob(Buffer.alloc(384, 1)),
      wrapped: toBlob(Buffer.alloc(40, 2)),
    },
  ],
};
const file = () => join(directory, `${id}.json`);
const unusable = { code: 'ERR_HSM_KEYRING_UNUSABLE', fault: 'operator' };

test('what was written is read, one generation on, by its owner alone', async () => {
  expect(await keyring.write(record)).toEqual({ ...record, generation: 4 });
  expect(await keyring.read(id)).toEqual({ ...record, generation: 4 });
  expect(await (await Keyring.open(directory)).list()).toEqual([{ ...record, generation: 4 }]);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  expect(statSync(file()).mode & 0o777).toBe(0o600);
  expect(readdirSync(directory)).toEqual([`${id}.json`]);
});

test('what was removed is gone, twice too', async () => {
  await keyring.write(record);
  await keyring.remove(id);
  await keyring.remove(id);
  expect(await keyring.read(id)).toBeUndefined();
  expect(await keyring.list()).toEqual([]);
});

test('a directory that others may enter is closed to them', async () => {
  chmodSync(directory, 0o755);
  await Keyring.open(directory);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
});

test.each<[string, () => void]>([
  ['truncated', () => writeFileSync(file(), readFileSync(file()).subarray(0, 200))],
  ['empty', () => writeFileSync(file(), '')],
  ['of another key', () => writeFileSync(file(), readFileSync(file(), 'utf8').replace(id, 'cd'.repeat(16)))],
  ['of a later version', () => writeFileSync(file(), readFileSync(file(), 'utf8').replace('"version": 1', '"version": 2'))],
  ['with a field nobody knows', () => writeFileSync(file(), readFileSync(file(), 'utf8').replace('{', '{"more": 1,'))],
  ['with wrapped bytes that were altered', () => writeFileSync(file(), readFileSync(file(), 'utf8').replace('AgIC', 'AgID'))],
  ['that others may read', () => chmodSync(file(), 0o644)],
  ['far too long', () => writeFileSync(file(), ' '.repeat(300_000))],
  ['that is a link', () => {
    writeFileSync(join(parent, 'elsewhere'), readFileSync(file()), { mode: 0o600 });
    rmSync(file());
    symlinkSync(join(parent, 'elsewhere'), file());
  }],
])('a record %s is refused by name', async (_name, damage) => {
  await keyring.write(record);
  damage();
  const refused = { ...unusable, message: expect.stringContaining(file()) };
  await expect(keyring.read(id)).rejects.toMatchObject(refused);
  await expect(keyring.list()).rejects.toMatchObject(refused);
}); // prettier-ignore

test('a write that was killed leaves the record as it was, and what it left is removed', async () => {
  await keyring.write(record);
  writeFileSync(`${file()}.4711.new`, '{"half');
  expect(await keyring.list()).toHaveLength(1);
  await keyring.removeLeftovers();
  expect(readdirSync(directory)).toEqual([`${id}.json`]);
});

test('a directory that cannot be written to is said to be', async () => {
  writeFileSync(join(parent, 'file'), '');
  await expect(Keyring.open(join(parent, 'file'))).rejects.toMatchObject(unusable);
  rmSync(directory, { recursive: true });
  await expect(keyring.write(record)).rejects.toMatchObject(unusable);
  await expect(keyring.list()).rejects.toMatchObject(unusable);
});
