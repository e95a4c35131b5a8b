import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { SoftwareHsm } from '../../test/software-hsm.js';
import { TestTrail, type TrailChain } from '../../test/trail.js';
import { verifyTrail } from '../verification/verify.js';
import { readAnchor } from './anchor.js';
import { checkpointText, formatCheckpoint, parseCheckpoint, type SignedCheckpoint } from './checkpoint.js';
import { Checkpointer } from './checkpointer.js';

let trail: TestTrail;
let chain: TrailChain;
let hsm: SoftwareHsm;
let checkpointer: Checkpointer;
let file: string;

beforeEach(() => {
  trail = new TestTrail();
  chain = trail.chain();
  hsm = new SoftwareHsm();
  file = trail.path('checkpoints');
  checkpointer = new Checkpointer(hsm, { trail: 'ca-1', directories: [trail.directory], file, key: 'audit' });
});
afterEach(() => trail.remove());

/** A checkpoint after each of so many more records. */
async function checkpoints(count: number): Promise<SignedCheckpoint[]> {
  const made: SignedCheckpoint[] = [];
  for (let turn = 0; turn < count; turn++) {
    chain.sign('key');
    const first = !existsSync(file);
    made.push(await checkpointer.checkpoint({ first }));
  }
  return made;
}

async function anchored(checkpoint?: SignedCheckpoint, pem = hsm.pem) {
  const path = trail.path('anchor');
  // As a collector logs it.
  writeFileSync(path, pem + (checkpoint ? `Jan  1 00:00:00 host ${formatCheckpoint(checkpoint)}\n` : ''));
  return readAnchor(path);
}

const verified = async (anchor?: SignedCheckpoint, checkpointFile: string | undefined = file) =>
  verifyTrail({ directories: [trail.directory], checkpointFile, anchor: anchor && (await anchored(anchor)) });

const lines = () => readFileSync(file, 'utf8').trimEnd().split('\n');
const rewrite = (change: (all: string[]) => string[]) =>
  writeFileSync(
    file,
    change(lines())
      .map((line) => `${line}\n`)
      .join(''),
  );

describe('checkpoints', () => {
  it('are numbered, follow one another, name each chain’s last record, and openssl verifies them', async () => {
    chain.rotate();
    trail.chain('hsm-b', 3);
    const [first, second] = await checkpoints(2);
    expect(first.checkpoint).toMatchObject({ number: 1, previous: '0'.repeat(64), trail: 'ca-1' });
    expect(second.checkpoint).toMatchObject({
      number: 2,
      chains: [
        { name: 'hsm-a.1', id: chain.id, segment: 'hsm-a.1.000002.jsonl', seq: 4 },
        { name: 'hsm-b.3', offset: 0, seq: 1 },
      ],
    });
    expect(lines()).toEqual([first, second].map(formatCheckpoint));

    // As docs/AUDITING.md says it.
    writeFileSync(trail.path('key.pem'), hsm.pem);
    const commands = `
      tail -n 1 checkpoints | cut -d ' ' -f 1 | tr -d '\\n' > text
      tail -n 1 checkpoints | cut -d ' ' -f 2 | openssl base64 -d -A > signature
      openssl dgst -sha256 -verify key.pem -signature signature text
      head -n 1 checkpoints | cut -d ' ' -f 1 | tr -d '\\n' | openssl dgst -sha256 -r`;
    const said = execFileSync('sh', ['-ec', commands], { cwd: trail.directory, encoding: 'utf8' });
    expect(said).toBe(`Verified OK\n${second.checkpoint.previous} *stdin\n`);
  });

  it('prove the tail when the last one is known elsewhere', async () => {
    const [first, second] = await checkpoints(2);
    chain.sign('later');
    const report = await verified(first);
    expect(report).toMatchObject({ isIntact: true, isAnchored: true });
    expect(report.chains[0].proven).toEqual({
      anchored: { checkpoint: 1, seq: 2 },
      checkpointed: { checkpoint: 2, seq: 3 },
    });
    expect(await verified(second, undefined)).toMatchObject({ isAnchored: true });
    // Without a pinned key they only say where the trail's own keeper was.
    expect(await verified()).toMatchObject({
      isIntact: true,
      isAnchored: false,
      checkpoints: { isPinned: false, last: 2 },
    });
    const pinned = await verifyTrail({
      directories: [trail.directory],
      checkpointFile: file,
      anchor: await anchored(),
    });
    expect(pinned).toMatchObject({ isIntact: true, isAnchored: false, checkpoints: { isPinned: true } });
  });

  it('find a tail that was cut off, with its checkpoints or without', async () => {
    const [, second, third] = await checkpoints(3);
    trail.rewrite(chain.file, (all) => all.slice(0, -1));
    const cut = [{ kind: 'truncated', seq: 3, message: 'want record 4, which checkpoint 3 saw, got the end at 3' }];
    expect(await verified()).toMatchObject({ isIntact: false, chains: [{ findings: cut, proven: {} }] });
    rewrite((all) => all.slice(0, 2));
    expect(await verified(second)).toMatchObject({ isAnchored: true });
    const report = await verified(third);
    expect(report).toMatchObject({ isIntact: false, isAnchored: false, chains: [{ findings: cut }] });
    expect(report.checkpoints.faults).toEqual([`${file}: want checkpoint 3, which the anchor has, got 2 as the last`]);
    rmSync(chain.path);
    const [gone] = (await verified(second)).chains;
    expect(gone).toMatchObject({ name: 'hsm-a.1', segments: 0, findings: [{ kind: 'truncated' }] });
  });

  it('find a trail that was written anew, with hashes that are right', async () => {
    const [, second] = await checkpoints(2);
    rmSync(chain.path);
    chain = trail.chain();
    for (let turn = 0; turn < 4; turn++) chain.sign('other');
    const report = await verified(second);
    expect(report.chains[0].findings.map(({ kind, seq }) => [kind, seq])).toEqual([
      ['contradicted', 2],
      ['contradicted', 3],
    ]);
  });
});

describe('a checkpoint is refused', () => {
  /** A checkpoint as `change` makes it, signed with the right key. */
  async function forged(checkpoint: SignedCheckpoint, change: object): Promise<string> {
    const text = checkpointText({ ...checkpoint.checkpoint, ...change });
    const signature = await hsm.sign(await hsm.findKey('audit'), 'ecdsa-sha256', Buffer.from(text));
    return formatCheckpoint({ ...checkpoint, text, signature });
  }

  it.each<[string, (all: string[], made: SignedCheckpoint[]) => string[] | Promise<string[]>, string]>([
    ['removed', (all) => all.toSpliced(1, 1), 'want checkpoint 2, got number 3'],
    ['moved', (all) => [all[1], all[0], all[2]], 'want checkpoint 1, got number 2'],
    ['repeated', (all) => [all[0], ...all], 'want checkpoint 2, got number 1'],
    ['changed', (all) => all.with(1, all[1].replace('"seq":3', '"seq":2')), 'got one whose signature is not right'],
    ['not canonical', (all) => all.with(1, all[1].replace('"seq":3', '"seq":3.0')), 'got a line that is none'],
    ['signed twice over', (all) => all.with(1, `${all[1]}AAAA`), 'checkpoint 2, got '],
    [
      'renumbered',
      async (all, made) => all.with(1, await forged(made[2], { number: 2 })),
      'got one that follows another',
    ],
    [
      "another trail's",
      async (all, made) => all.with(1, await forged(made[1], { trail: 'ca-2' })),
      'got one of trail ca-2',
    ],
    [
      'without a chain',
      async (all, made) => all.with(1, await forged(made[1], { chains: [] })),
      'got one without chain hsm-a.1',
    ],
    [
      'with a chain that went back',
      async (all, made) => {
        const [head] = made[0].checkpoint.chains;
        return all.with(1, await forged(made[1], { chains: [{ ...head, seq: 1 }] }));
      },
      'got one in which chain hsm-a.1 went back',
    ],
    [
      'with a chain twice',
      async (all, made) => {
        const [head] = made[1].checkpoint.chains;
        return all.with(1, await forged(made[1], { chains: [head, head] }));
      },
      'got one with a chain twice',
    ],
  ])('%s', async (_name, attack, fault) => {
    const made = await checkpoints(3);
    const changed = await attack(lines(), made);
    rewrite(() => changed);
    const report = await verified(made[0]);
    expect(report).toMatchObject({ isIntact: false, isAnchored: false });
    expect(report.checkpoints.faults.join()).toContain(fault);
  });

  it('of another key', async () => {
    const [first] = await checkpoints(1);
    const others = new SoftwareHsm();
    rewrite(() => []);
    const settings = { trail: 'ca-1', directories: [trail.directory], file, key: 'audit' };
    await new Checkpointer(others, settings).checkpoint({ first: true });
    expect((await verified(first)).checkpoints.faults.join()).toContain('want checkpoint 1, got one of another key');
    const other = parseCheckpoint(lines()[0]);
    await expect(anchored(other)).rejects.toMatchObject({ code: 'ERR_AUDIT_ANCHOR_INVALID' });
    await expect(anchored(first, 'no key')).rejects.toMatchObject({ code: 'ERR_AUDIT_ANCHOR_INVALID' });
    await expect(checkpointer.checkpoint()).rejects.toMatchObject({ code: 'ERR_AUDIT_CHECKPOINTS_ALTERED' });
  });

  it('of another key than P-256', async () => {
    const rsa = { ...(await hsm.findKey('audit')), algorithm: 'rsa-2048', publicKey: undefined } as const;
    const other = { sign: hsm.sign, findKey: async () => rsa };
    const settings = { trail: 'ca-1', directories: [trail.directory], file, key: 'audit' };
    const refused = new Checkpointer(other, settings).checkpoint();
    await expect(refused).rejects.toMatchObject({ code: 'ERR_AUDIT_KEY_UNSUITABLE' });
  });
});

test('a checkpoint that was signed before there was a chain anchors nothing of what came later', async () => {
  rmSync(chain.path);
  const first = await checkpointer.checkpoint({ first: true });
  expect(first.checkpoint.chains).toEqual([]);
  trail.chain('hsm-b').sign('key');
  expect(await verified(first)).toMatchObject({ isIntact: true, isAnchored: false, chains: [{ proven: {} }] });
});

describe('no checkpoint is signed', () => {
  it.each<[string, () => void]>([
    ['over a trail that was cut short', () => trail.rewrite(chain.file, (all) => all.slice(0, -1))],
    ['over records in place of others', () => trail.rewrite(chain.file, (all) => all.with(-1, all[0]))],
    ['over a segment that is gone', () => rmSync(chain.path)],
    ['over a record that does not follow', () => appendFileSync(chain.path, `${trail.lines(chain.file)[1]}\n`)],
    ['over bytes that are no record', () => appendFileSync(chain.path, 'x\n')],
  ])('%s', async (_name, attack) => {
    await checkpoints(2);
    attack();
    await expect(checkpointer.checkpoint()).rejects.toMatchObject({ code: 'ERR_AUDIT_TRAIL_ALTERED' });
    expect(lines()).toHaveLength(2);
  });

  it('over a segment that cannot be read now, which is no sign that it was altered', async () => {
    await checkpoints(1);
    renameSync(chain.path, `${chain.path}.away`);
    mkdirSync(chain.path);
    const unreadable = { code: 'ERR_AUDIT_TRAIL_UNREADABLE', retryable: true };
    await expect(checkpointer.checkpoint()).rejects.toMatchObject(unreadable);
    rmdirSync(chain.path);
    renameSync(`${chain.path}.away`, chain.path);
    await checkpoints(1);
    expect(lines()).toHaveLength(2);
  });

  it('in place of those that are gone, unless it is told that it is the first, nor as the first after others', async () => {
    await checkpoints(1);
    await expect(checkpointer.checkpoint({ first: true })).rejects.toMatchObject({
      code: 'ERR_AUDIT_ARGUMENT_INVALID',
    });
    for (const attack of [() => truncateSync(file), () => rmSync(file)]) {
      attack();
      await expect(checkpointer.checkpoint()).rejects.toMatchObject({ code: 'ERR_AUDIT_CHECKPOINTS_MISSING' });
    }
    expect((await checkpointer.checkpoint({ first: true })).checkpoint.number).toBe(1);
  });

  it('after a file that is not the one that was written', async () => {
    await checkpoints(1);
    appendFileSync(file, 'x\n');
    await expect(checkpointer.checkpoint()).rejects.toMatchObject({ code: 'ERR_AUDIT_CHECKPOINTS_ALTERED' });
    renameSync(file, `${file}.old`);
    symlinkSync(`${file}.old`, file);
    await expect(checkpointer.checkpoint()).rejects.toMatchObject({ code: 'ERR_AUDIT_FILE_UNUSABLE' });
    rmSync(file);
    writeFileSync(file, 'x'.repeat(3 << 20));
    await expect(checkpointer.checkpoint()).rejects.toMatchObject({ code: 'ERR_AUDIT_CHECKPOINTS_ALTERED' });
  });
});

describe('a crash', () => {
  it('in the middle of a line leaves nothing that counts', async () => {
    const [first] = await checkpoints(1);
    appendFileSync(file, lines()[0].slice(0, 100));
    expect(await verified(first)).toMatchObject({ isAnchored: true, checkpoints: { last: 1, faults: [] } });
    const second = await checkpointer.checkpoint();
    expect(second.checkpoint.number).toBe(2);
    expect(lines()).toEqual([first, second].map(formatCheckpoint));
    truncateSync(file, 10);
    expect((await checkpointer.checkpoint({ first: true })).checkpoint.number).toBe(1);
  });

  it('of an agent, that another sealed, is gone over', async () => {
    await checkpoints(1);
    chain.tear('{"seq":');
    const [, second] = await checkpoints(2);
    expect(await verified(second)).toMatchObject({ isAnchored: true });
  });

  it('processes that share a file take turns', async () => {
    await checkpoints(1);
    const made = await Promise.all([2, 3, 4].map(() => checkpointer.checkpoint()));
    expect(made.map(({ checkpoint }) => checkpoint.number).sort()).toEqual([2, 3, 4]);
    expect(await verified(made[0])).toMatchObject({ isAnchored: true });
  });
});
