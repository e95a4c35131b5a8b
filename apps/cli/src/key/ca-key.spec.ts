import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { insteadOfRotation } from './ca-key.js';

const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-ca-key-'));
afterAll(() => rmSync(directory, { recursive: true }));

test('a key may be rotated that belongs to an application which is no CA', async () => {
  const file = join(directory, 'records.yaml');
  writeFileSync(file, JSON.stringify({ hsm: {} }));
  expect((await insteadOfRotation(file))('issuing')).toBeUndefined();
});
