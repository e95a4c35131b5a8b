import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeyId } from '../../key/key.js';
import { Keyring } from '../keyring.js';
import { BackupRegister } from './backup-register.js';

let directory: string;
let keyring: Keyring;
let register: BackupRegister;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'nest-hsm-register-'));
  keyring = await Keyring.open(directory);
  register = new BackupRegister(keyring);
});
afterEach(() => rmSync(directory, { recursive: true }));

const id = 'ab'.repeat(16) as KeyId;
const entry = (number: number) => ({
  number,
  created: '2026-01-02T03:04:05.678Z',
  sha256: 'cd'.repeat(32),
  keys: [id],
});

test('backups are numbered on, and listed in the order of their numbers', async () => {
  expect(await register.nextNumber()).toBe(1);
  for (const number of [2, 1_000_000, 11]) await register.add(entry(number));
  expect((await register.entries()).map(({ number }) => number)).toEqual([2, 11, 1_000_000]);
  expect(await register.nextNumber()).toBe(1_000_001);
  await register.withdraw(1_000_000);
  expect(await register.nextNumber()).toBe(12);
});

test('what is refused stays refused, and a number is never given twice', async () => {
  await register.raise({ minimum: 5 });
  await register.raise({ minimum: 3, last: 9 });
  await register.raise({ last: 2 });
  expect(await register.minimum()).toBe(5);
  expect(await register.nextNumber()).toBe(10);
  await register.raise({ minimum: 20 });
  expect(await register.nextNumber()).toBe(20);
});

test('its state says what a restore elsewhere needs to know', async () => {
  const tombstone = { version: 1, id, destroyed: '2026-01-02T03:04:05.678Z', label: 'kek' } as const;
  await keyring.entomb(tombstone);
  // The first one stays.
  await keyring.entomb({ ...tombstone, destroyed: '2027-01-02T03:04:05.678Z' });
  await register.add(entry(4));
  await register.raise({ minimum: 2 });
  expect(await register.state('ca')).toEqual({
    ...{ format: 'nest-hsm backup state', version: 1, fleet: 'ca' },
    ...{ minimum: 2, last: 4, tombstones: [tombstone] },
  });
});
