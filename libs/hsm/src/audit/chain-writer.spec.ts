import {
  appendFileSync,
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
import { setTimeout as pause } from 'node:timers/promises';
import { type ReadChain, readChains } from '../../../../test/support/audit-records.js';
import { failNextSync, failSyncs } from '../../../../test/support/failing-sync.js';
import { ChainWriter } from './chain-writer.js';
import { hashOfLine } from './chain.js';
import { closedFields, resultFields } from './record-fields.js';

const roomy = 64 << 20;
const root = mkdtempSync(join(tmpdir(), 'nest-hsm-audit-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(root, 'trail-'));
});

const alarms: string[] = [];
const opened = (maximumSegmentBytes = roomy) =>
  ChainWriter.open({ directory, member: 'hsm-a', maximumSegmentBytes }, ({ message }) => alarms.push(message));
const fields = (correlationId: string) =>
  resultFields(
    { client: 'test', operation: 'sign', correlationId, attempt: 1 },
    { result: 'ok', durationMicroseconds: 1 },
  );

const isRefused = (committed: Promise<unknown>) =>
  committed.then(
    () => false,
    ({ code }) => code === 'ERR_HSM_AUDIT_UNAVAILABLE',
  );

/** One more agent's life: these are recorded, and it ends in good order. */
async function life(...correlationIds: string[]): Promise<void> {
  const writer = await opened();
  for (const each of correlationIds) writer.append(fields(each), 1);
  await writer.close(closedFields);
}
/** What is told: the kind, or the correlation id of a result. */
const told = ({ records }: ReadChain) => records.map(({ kind, correlationId }) => correlationId ?? kind);
const segment = (number: number) => join(directory, `hsm-a.1.${String(number).padStart(6, '0')}.jsonl`);

test('records follow each other through the lives of its agents', async () => {
  await life('a', 'b');
  await life('c');
  const [chain, ...others] = await readChains(directory);
  expect(others).toEqual([]);
  expect(told(chain)).toEqual(['segment', 'a', 'b', 'closed', 'c', 'closed']);
  expect(statSync(segment(1)).mode & 0o777).toBe(0o600);
});

test('what is awaited is in the file, and what was recorded before it', async () => {
  const writer = await opened();
  writer.append(fields('before'), 1);
  expect(await writer.commit(fields('durable'), 0)).toBe(3);
  const [, before, durable] = readFileSync(segment(1), 'utf8').split('\n');
  expect(JSON.parse(durable)).toMatchObject({ seq: 3, prev: hashOfLine(before), correlationId: 'durable' });
  await writer.write(fields('written'), 1);
  expect(readFileSync(segment(1), 'utf8')).toContain('"written"');
  await writer.close(closedFields);
});

test('many at once are all there, in order', async () => {
  const writer = await opened();
  const seqs = await Promise.all(Array.from({ length: 500 }, (_, index) => writer.commit(fields(`${index}`), 0)));
  await writer.close(closedFields);
  expect(seqs).toEqual(Array.from({ length: 500 }, (_, index) => index + 2));
  const [chain] = await readChains(directory);
  expect(told(chain).slice(1, -1)).toEqual(Array.from({ length: 500 }, (_, index) => `${index}`));
});

test('what is waited for and what is not do not get in each other’s way', async () => {
  const writer = await opened();
  const commits: Promise<number>[] = [];
  for (let turn = 0; turn < 40; turn++) {
    writer.append(fields('first'), 1);
    await new Promise((resolve) => setImmediate(resolve));
    writer.append(fields('later'), 1);
    // When the write that `later` waits for is due too.
    await new Promise<void>((resolve) => {
      setTimeout(() => {
        commits.push(writer.commit(fields('durable'), 0));
        const until = performance.now() + 3;
        while (performance.now() < until);
        resolve();
      }, 3);
    });
  }
  await Promise.all(commits);
  await writer.close(closedFields);
  const [{ records }] = await readChains(directory);
  expect(records).toHaveLength(2 + 3 * 40);
});

test('agents at the same time have a chain each, and a freed one is taken up', async () => {
  const [one, two] = [await opened(), await opened()];
  await one.close(closedFields);
  const three = await opened();
  for (const writer of [two, three]) await writer.close(closedFields);
  const chains = await readChains(directory);
  expect(chains.map((chain) => [chain.name, told(chain)])).toEqual([
    ['hsm-a.1', ['segment', 'closed', 'closed']],
    ['hsm-a.2', ['segment', 'closed']],
  ]);
});

test('a full segment is followed by another of the same chain', async () => {
  const writer = await opened(4_096);
  for (let index = 0; index < 40; index++) await writer.commit(fields(`${index}`), 0);
  await writer.close(closedFields);
  const [{ records }] = await readChains(directory);
  const heads = records.filter(({ kind }) => kind === 'segment');
  expect(heads.length).toBeGreaterThan(2);
  expect(new Set(heads.map((head) => (head as { chain?: string }).chain)).size).toBe(1);
  expect(heads.map((head) => (head as { previous?: string }).previous)).toEqual(
    heads.map((_, index) => (index === 0 ? undefined : `hsm-a.1.00000${index}.jsonl`)),
  );
  expect(records.filter(({ kind }) => kind === 'result')).toHaveLength(40);
});

describe('what a crash or a hand left behind is sealed, not dropped', () => {
  it.each([
    ['half a line', (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('{"seq":5,"pr')]), ['a', 'closed']],
    ['a line that is none', (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('nonsense\n')]), ['a', 'closed']],
    ['a damaged last line', (bytes: Buffer) => bytes.fill(0, bytes.length - 9), ['a']],
    ['zeros', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(200_000)]), ['a', 'closed']],
    ['two lines without a newline', (bytes: Buffer) => bytes.fill(' ', bytes.length - 1), ['a']],
  ])('%s', async (_name, damage, kept) => {
    await life('a');
    const damaged = damage(readFileSync(segment(1)));
    writeFileSync(segment(1), damaged);
    await life('b');
    const [chain] = await readChains(directory);
    expect(told(chain)).toEqual(['segment', ...kept, 'segment', 'b', 'closed']);
    expect(chain.unreadable).toHaveLength(1);
    const { offset } = chain.unreadable[0];
    expect(chain.records[kept.length + 1].torn).toEqual([
      {
        segment: 'hsm-a.1.000001.jsonl',
        offset,
        bytes: damaged.length - offset,
        sha256: hashOfLine(damaged.subarray(offset)),
      },
    ]);
    expect(readFileSync(segment(1))).toEqual(damaged);
  });

  it('a chain whose every line is gone begins anew and says so', async () => {
    await life('a');
    writeFileSync(segment(1), 'x'.repeat(100));
    await life('b');
    const [chain] = await readChains(directory);
    expect(told(chain)).toEqual(['segment', 'b', 'closed']);
    expect(chain.records[0].torn).toMatchObject([{ offset: 0, bytes: 100 }]);
    expect(readdirSync(directory)).toContain('hsm-a.1.000002.jsonl');
  });

  it('torn twice, the second time in the line that tells of the first', async () => {
    await life('a');
    appendFileSync(segment(1), 'half');
    writeFileSync(segment(2), '{"seq":4,');
    await life('b');
    const [chain] = await readChains(directory);
    expect(told(chain)).toEqual(['segment', 'a', 'closed', 'segment', 'b', 'closed']);
    expect(chain.records[3].torn).toEqual(chain.unreadable);
    expect(chain.unreadable.map(({ segment: name }) => name)).toEqual(['hsm-a.1.000001.jsonl', 'hsm-a.1.000002.jsonl']);
  });

  it('a segment that was made and never written is used', async () => {
    await life('a');
    appendFileSync(segment(1), 'half');
    writeFileSync(segment(2), '', { mode: 0o644 });
    await life('b');
    const [chain] = await readChains(directory);
    expect(told(chain)).toEqual(['segment', 'a', 'closed', 'segment', 'b', 'closed']);
    expect(statSync(segment(2)).mode & 0o777).toBe(0o600);
  });
});

test('after a sync that failed the chain goes on in a new segment, since the old one may have a hole', async () => {
  const writer = await opened();
  await writer.commit(fields('before'), 0);
  await failNextSync(segment(1));
  await expect(writer.commit(fields('failed'), 0)).rejects.toMatchObject({ code: 'ERR_HSM_AUDIT_UNAVAILABLE' });
  while (await isRefused(writer.commit(fields('after'), 0))) await pause(20);
  await writer.close(closedFields);
  expect(readFileSync(segment(1), 'utf8')).not.toContain('"after"');
  expect(readFileSync(segment(2), 'utf8')).toContain('"after"');
  const [chain] = await readChains(directory);
  expect(told(chain)).toEqual(['segment', 'before', 'failed', 'segment', 'after', 'closed']);
});

test('a disk that never syncs is tried now and then, with a segment each, and told of once', async () => {
  const writer = await opened();
  await writer.commit(fields('before'), 0);
  alarms.length = 0;
  const restore = await failSyncs(segment(1));
  const begun = performance.now();
  const segments = () => readdirSync(directory).filter((name) => name.endsWith('.jsonl')).length;
  try {
    for (let turn = 0; turn < 50 || segments() < 2; turn++) {
      expect(await isRefused(writer.commit(fields('failed'), 0))).toBe(true);
      await pause(10);
    }
    expect(segments()).toBeLessThanOrEqual(2 + (performance.now() - begun) / 1_000);
    expect(alarms).toHaveLength(1);
  } finally {
    restore();
  }
  await writer.close(closedFields);
  const [chain] = await readChains(directory);
  expect(told(chain).at(-1)).toBe('closed');
});

describe('a chain goes on in a new segment', () => {
  it.each<[string, (writer: ChainWriter) => Promise<unknown>]>([
    ['after an agent that was killed', () => Promise.resolve()],
    ['after one that was killed when a sync had failed', (writer) => isRefused(writer.commit(fields('failed'), 0))],
    ['after one whose last sync failed', (writer) => writer.close(closedFields)],
  ])('%s', async (_which, end) => {
    const writer = await opened();
    await writer.commit(fields('before'), 0);
    const restore = await failSyncs(segment(1));
    await end(writer);
    restore();
    // As when its process ends.
    rmSync(join(directory, 'hsm-a.1.lock'));
    const before = readFileSync(segment(1));
    await life('after');
    expect(readFileSync(segment(1))).toEqual(before);
    const [chain] = await readChains(directory);
    expect(told(chain).slice(-3)).toEqual(['segment', 'after', 'closed']);
    expect(chain.unreadable).toEqual([]);
    // The last one is.
    await writer.close(closedFields).catch(() => undefined);
  });
});

test('a link in the place of a segment is refused', async () => {
  symlinkSync(join(root, 'elsewhere'), segment(1));
  await expect(opened()).rejects.toMatchObject({ code: 'ERR_HSM_AUDIT_UNAVAILABLE' });
  // Nor is the lock kept.
  rmSync(segment(1));
  await life('a');
});

test('what is recorded after the end is refused and counted', async () => {
  const writer = await opened();
  await writer.close(closedFields);
  alarms.length = 0;
  await expect(writer.commit(fields('late'), 0)).rejects.toMatchObject({ code: 'ERR_HSM_AUDIT_UNAVAILABLE' });
  expect(alarms).toHaveLength(1);
});
