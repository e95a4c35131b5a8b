import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withLoginLock } from './login-lock.js';

const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-lock-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('one at a time, also when the work fails', async () => {
  let inside = 0;
  let most = 0;
  const turns = Array.from({ length: 8 }, (_, turn) =>
    withLoginLock(directory, async () => {
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setTimeout(resolve, 5));
      inside--;
      if (turn % 2 === 1) throw new Error('odd');
    }).catch((error: unknown) => error),
  );
  const results = await Promise.all(turns);
  expect(most).toBe(1);
  expect(results.filter((result) => result instanceof Error)).toHaveLength(4);
});

test('a process that is killed while it holds the lock leaves it free', async () => {
  const script = `
    const { DatabaseSync } = require('node:sqlite');
    const database = new DatabaseSync(process.argv[1]);
    database.exec('BEGIN EXCLUSIVE');
    console.log('held');
    setInterval(() => database.location(), 1000);`;
  const holder = spawn(process.execPath, ['-e', script, join(directory, 'login.lock')], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(holder.stdout, 'data');
  let isTaken = false;
  const waiting = withLoginLock(directory, async () => {
    isTaken = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 60));
  expect(isTaken).toBe(false);
  holder.kill('SIGKILL');
  await waiting;
  expect(isTaken).toBe(true);
});
