import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { TestTrail, type TrailChain } from '../../test/trail.js';
import type { TrailReport } from './report.js';
import { verifyTrail } from './verify.js';

let trail: TestTrail;
beforeEach(() => void (trail = new TestTrail()));
afterEach(() => trail.remove());

const verified = (): Promise<TrailReport> => verifyTrail({ directories: [trail.directory] });
const findings = async () => (await verified()).chains.flatMap((chain) => chain.findings);

describe('a trail as its agents wrote it', () => {
  it('is intact, over segments and chains, with nothing that proves its tail', async () => {
    const one = trail.chain('hsm-a', 1);
    const two = trail.chain('hsm-b', 12);
    for (let turn = 0; turn < 10; turn++) {
      one.sign('a');
      two.sign('b');
      if (turn % 3 === 0) one.rotate();
    }
    const report = await verified();
    expect(report).toMatchObject({ isIntact: true, isAnchored: false, checkpoints: { isPinned: false, faults: [] } });
    expect(report.chains).toEqual([
      expect.objectContaining({ name: 'hsm-a.1', segments: 5, records: 15, lastSeq: 15, proven: {}, findings: [] }),
      expect.objectContaining({ name: 'hsm-b.12', segments: 1, records: 11, lastSeq: 11, notes: [] }),
    ]);
  });

  it('says itself what it does not tell: lost records, intents without a result, intervals without a count, torn ends', async () => {
    const chain = trail.chain();
    chain.append({ kind: 'gap', lost: 3, operations: 2, since: '2030-01-01T00:00:00.000Z' });
    const done = chain.intent('generate');
    chain.sign('done', { operation: 'generate', intent: done });
    const open = chain.intent('destroy', { key: { id: 'cd'.repeat(16), label: 'old' } });
    const counted = chain.append({ kind: 'folded-open', client: 'tls', operation: 'sign' });
    const counts = { ok: 5 };
    const [first, last] = ['2030-01-01T00:00:00.000Z', '2030-01-01T00:00:01.000Z'];
    chain.append({ kind: 'folded', client: 'tls', operation: 'sign', open: counted, first, last, counts });
    const uncounted = chain.append({ kind: 'folded-open', client: 'tls', operation: 'sign', key: { id: 'k' } });
    chain.tear('{"seq":8,"prev":"00');
    appendFileSync(chain.path, '{"seq":');
    const report = await verified();
    expect(report.isIntact).toBe(true);
    expect(report.chains[0].notes.map(({ kind, seq, message }) => [kind, seq, message])).toEqual([
      ['gap', 2, '3 records of 2 operations since 2030-01-01T00:00:00.000Z were lost'],
      [
        'torn',
        undefined,
        expect.stringMatching(/^hsm-a\.1\.000001\.jsonl, byte \d+: 19 bytes torn by a crash and sealed/),
      ],
      ['torn', undefined, expect.stringMatching(/^hsm-a\.1\.000002\.jsonl, byte \d+: 7 bytes being written, or torn/)],
      ['outcome-unknown', open, 'destroy old by ca: outcome unknown'],
      ['count-unknown', uncounted, 'sign k by tls: count unknown'],
    ]);
  });

  it('is found where its segments were moved to', async () => {
    const chain = trail.chain();
    chain.sign('a');
    chain.rotate();
    const archive = join(trail.directory, 'archive');
    mkdirSync(archive);
    renameSync(trail.path('hsm-a.1.000001.jsonl'), join(archive, 'hsm-a.1.000001.jsonl'));
    await expect(findings()).resolves.toMatchObject([
      { kind: 'missing', seq: 3, message: 'want records 1 to 2, got 3' },
    ]);
    expect((await verifyTrail({ directories: [trail.directory, archive] })).isIntact).toBe(true);
    writeFileSync(trail.path('hsm-a.1.000001.jsonl'), '');
    const both = verifyTrail({ directories: [archive, trail.directory] });
    await expect(both).rejects.toMatchObject({ code: 'ERR_AUDIT_CONFIG_INVALID' });
  });
});

/** One thing that is done to a line; where it must show, counted in lines. */
const tampering = {
  removed: (lines: string[], at: number) => lines.toSpliced(at, 1),
  changed: (lines: string[], at: number) => lines.with(at, lines[at].replace('"time":"2030', '"time":"2031')),
  broken: (lines: string[], at: number) => lines.with(at, lines[at].slice(0, -1)),
  swapped: (lines: string[], at: number) => lines.with(at, lines[at + 1]).with(at + 1, lines[at]),
  repeated: (lines: string[], at: number) => lines.toSpliced(at, 0, lines[at]),
  forged: (lines: string[], at: number) => lines.toSpliced(at, 0, lines[at].replace('"time":"2030', '"time":"2031')),
};

test('any line that is removed, changed, moved or inserted is found, and where', async () => {
  const shape = fc.record({
    lengths: fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 4 }),
    kind: fc.constantFrom(...(Object.keys(tampering) as (keyof typeof tampering)[])),
    where: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  });
  await fc.assert(
    fc.asyncProperty(shape, async ({ lengths, kind, where }) => {
      const tampered = new TestTrail();
      try {
        const chain = tampered.chain();
        for (const [index, length] of lengths.entries()) {
          if (index > 0) chain.rotate();
          for (let turn = 0; turn < length; turn++) chain.sign('key');
        }
        // At least two records follow in the chain, since a tail proves itself only by checkpoints.
        chain.sign('last');
        chain.sign('last');
        const places = tampered.segments.flatMap((segment) =>
          tampered.lines(segment).map((_, line) => ({ segment, line })),
        );
        const index = Math.floor(where * (places.length - 2));
        const { segment, line } = places[index];
        fc.pre(kind !== 'swapped' || places[index + 1].segment === segment);
        const isFirst = line === 0 && kind === 'removed' && tampered.lines(segment).length === 1;
        fc.pre(!isFirst);
        tampered.rewrite(segment, (lines) => tampering[kind](lines, line));
        const { isIntact, chains } = await verifyTrail({ directories: [tampered.directory] });
        expect(isIntact).toBe(false);
        const [{ seq, segment: shown, kind: found }] = chains[0].findings;
        // It shows at the record itself or at the one after.
        if (found === 'unreadable') expect(shown).toBe(segment);
        else expect([index + 1, index + 2]).toContain(seq);
      } finally {
        tampered.remove();
      }
    }),
    { numRuns: 60 },
  );
});

describe('what is done to whole segments is found', () => {
  let chain: TrailChain;
  beforeEach(() => {
    chain = trail.chain();
    for (let segment = 2; segment <= 4; segment++) {
      chain.sign('key');
      chain.rotate();
    }
  });
  const [first, second, third] = [1, 2, 3].map((number) => `hsm-a.1.00000${number}.jsonl`);

  it.each([
    ['the first removed', () => rmSync(trail.path(first)), { kind: 'missing', seq: 3, segment: second }],
    ['one removed', () => rmSync(trail.path(second)), { kind: 'missing', seq: 5, segment: third }],
    ['one emptied', () => truncateSync(trail.path(second)), { kind: 'missing', seq: 5, segment: third }],
    [
      'a torn end that nobody sealed',
      () => appendFileSync(trail.path(first), '{"s'),
      { kind: 'unreadable', segment: first },
    ],
    [
      "another chain's",
      () => {
        const other = new TestTrail();
        other.chain('hsm-a', 1);
        trail.rewrite(first, () => other.lines(first));
        other.remove();
      },
      { kind: 'missing', seq: 3, segment: second },
    ],
    [
      'a segment record elsewhere than at the beginning',
      () => renameSync(trail.path(third), trail.path('hsm-a.1.000009.jsonl')),
      { kind: 'missing', seq: 7 },
    ],
  ])('%s', async (_name, attack, finding) => {
    attack();
    expect((await findings())[0]).toMatchObject(finding);
  });

  it('the torn end that an agent sealed is gone, or another', async () => {
    chain.tear('{"torn');
    chain.sign('key');
    expect((await verified()).isIntact).toBe(true);
    trail.rewrite('hsm-a.1.000004.jsonl', (lines) => lines.filter((line) => line !== '{"torn'));
    await expect(findings()).resolves.toMatchObject([{ kind: 'missing', segment: 'hsm-a.1.000005.jsonl' }]);
    appendFileSync(trail.path('hsm-a.1.000004.jsonl'), '{"tarn');
    await expect(findings()).resolves.toMatchObject([{ kind: 'unreadable' }, { kind: 'missing' }]);
  });
});

describe('hostile files are findings, and hold nobody up', () => {
  const segment = 'hsm-a.1.000002.jsonl';
  beforeEach(() => trail.chain().sign('key'));

  it.each([
    ['a link', () => symlinkSync('/dev/zero', trail.path(segment)), 'inaccessible'],
    ['a pipe', () => execFileSync('mkfifo', [trail.path(segment)]), 'inaccessible'],
    ['a directory', () => mkdirSync(trail.path(segment)), 'inaccessible'],
    ['an endless line', () => writeFileSync(trail.path(segment), 'x'.repeat(1 << 20)), 'unreadable'],
    ['lines that are no records', () => writeFileSync(trail.path(segment), '{}\n\n[]\n'), 'unreadable'],
    ['JSON nested beyond any stack', () => writeFileSync(trail.path(segment), `${'['.repeat(60_000)}\n`), 'unreadable'],
    ['bytes that are no text', () => writeFileSync(trail.path(segment), Buffer.alloc(100, 0xff)), undefined],
  ])('%s', async (_name, attack, kind) => {
    attack();
    const { isIntact, chains } = await verified();
    expect(isIntact).toBe(kind === undefined);
    expect(chains[0].findings.map((finding) => finding.kind)).toEqual(kind === undefined ? [] : [kind]);
  });

  it('names that no agent gives are passed over', async () => {
    for (const name of ['hsm-a.99.000001.jsonl', '\u001b[2J.1.000001.jsonl', 'hsm-a.1.1.jsonl', 'notes.txt']) {
      writeFileSync(trail.path(name), 'x\n');
    }
    expect(await verified()).toMatchObject({ isIntact: true, chains: [{ name: 'hsm-a.1' }] });
  });

  it('more findings than anybody reads are counted', async () => {
    const record = { seq: 1, prev: '0'.repeat(64), time: '2030-01-01T00:00:00.000Z', kind: 'closed' };
    writeFileSync(trail.path(segment), `${JSON.stringify(record)}\n`.repeat(500));
    const [chain] = (await verified()).chains;
    expect(chain.findings).toHaveLength(100);
    expect(chain.findingCount).toBeGreaterThan(499);
  });
});

test('a directory that is not there is no empty trail', async () => {
  const missing = verifyTrail({ directories: [trail.path('none')] });
  await expect(missing).rejects.toMatchObject({ code: 'ERR_AUDIT_TRAIL_UNREADABLE' });
});
