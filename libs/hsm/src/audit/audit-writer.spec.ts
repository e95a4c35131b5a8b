import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditEvent } from './audit-event.js';
import { AuditWriter } from './audit-writer.js';

const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-audit-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
let file = 0;
const freshPath = () => join(directory, `audit-${++file}`);

const event = (operation: string): AuditEvent => ({
  time: '2030-01-01T00:00:00.000Z',
  kind: 'result',
  client: 'test',
  operation,
  token: 'token',
  result: 'ok',
});

test('one JSON line an event, in order, appended, mode 0600', async () => {
  const path = freshPath();
  writeFileSync(path, 'before\n', { mode: 0o644 });
  const writer = await AuditWriter.open(path);
  for (let turn = 0; turn < 100; turn++) writer.record(event(`${turn}`));
  await writer.close();
  const [before, ...lines] = readFileSync(path, 'utf8').trimEnd().split('\n');
  expect(before).toBe('before');
  expect(lines.map((line) => (JSON.parse(line) as AuditEvent).operation)).toEqual(
    Array.from({ length: 100 }, (_, i) => `${i}`),
  );
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test('an intent is in the file when the promise resolves', async () => {
  const path = freshPath();
  const writer = await AuditWriter.open(path);
  writer.record(event('before'));
  await writer.recordDurably({ ...event('generate'), kind: 'intent' });
  expect(readFileSync(path, 'utf8').trimEnd().split('\n')).toHaveLength(2);
  await writer.close();
});

test('two writers of one file do not tear each other’s lines', async () => {
  const path = freshPath();
  const writers = [await AuditWriter.open(path), await AuditWriter.open(path)];
  for (let turn = 0; turn < 200; turn++) {
    for (const writer of writers) writer.record(event('x'.repeat(500)));
    if (turn % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(writers.map((writer) => writer.close()));
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  expect(lines).toHaveLength(400);
  expect(() => lines.map((line) => JSON.parse(line) as unknown)).not.toThrow();
});

describe('a disk that takes nothing', () => {
  const full = '/dev/full';
  const isThere = (() => {
    try {
      closeSync(openSync(full, 'a'));
      return true;
    } catch {
      return false;
    }
  })();

  (isThere ? test : test.skip)('an intent fails, a hot line is counted', async () => {
    const writer = await AuditWriter.open(full);
    writer.record(event('sign'));
    await expect(writer.recordDurably(event('generate'))).rejects.toMatchObject({ code: 'ERR_HSM_AUDIT_UNAVAILABLE' });
    expect(writer.lostLines).toBe(2);
    await writer.close();
  });

  test('after close nothing is recorded durably', async () => {
    const writer = await AuditWriter.open(freshPath());
    await writer.close();
    await expect(writer.recordDurably(event('generate'))).rejects.toMatchObject({ code: 'ERR_HSM_AUDIT_UNAVAILABLE' });
  });
});

test.each([
  ['a directory', () => directory],
  ['a path that does not exist', () => join(directory, 'none', 'audit')],
  [
    'a link to somewhere else',
    () => {
      const link = freshPath();
      symlinkSync(join(directory, 'elsewhere'), link);
      return link;
    },
  ],
])('%s is refused', async (_name, path) => {
  await expect(AuditWriter.open(path())).rejects.toMatchObject({ code: 'ERR_HSM_AUDIT_UNAVAILABLE' });
});
