/** What built agents, as processes of their own, write of what they did, and what they do when they cannot. */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { AgentUnderTest, auditSettings } from '../../../../../test/support/agent-under-test.js';
import { type AnyRecord, auditRecords, readChains } from '../../../../../test/support/audit-records.js';
import { eventually } from '../../../../../test/support/eventually.js';
import { TestToken } from '../../../../../test/support/token.js';
import type { AuditSettings } from '../../audit/audit-settings.js';
import { probeKeyLabel } from '../../key/key.js';
import type { KeyAlgorithm } from '../../algorithm/key-algorithm.js';
import type { SignatureScheme } from '../../algorithm/signature-scheme.js';
import type { KeyDescription, KeyId, KeyUsage } from '../../key/key.js';
import type { RequestHeader } from '../protocol.js';

let token: TestToken;
beforeAll(() => {
  token = new TestToken('audited');
});
afterAll(() => token.remove());
afterEach(() => AgentUnderTest.killAll());

let trails = 0;
/** Settings of a trail of the test's own. */
const trail = (changes: Partial<AuditSettings> = {}): AuditSettings =>
  auditSettings(token, { directory: join(token.directory, `audit-${++trails}`), ...changes });
const started = (audit: AuditSettings) => AgentUnderTest.loggedIn(token, { audit });

const newId = () => randomBytes(16).toString('hex') as KeyId;
const message = Buffer.from('what is signed');
const generate = (
  agent: AgentUnderTest,
  label: string,
  algorithm: KeyAlgorithm = 'ec-p256',
  usage: KeyUsage = 'sign',
) => agent.call('generateKey', { id: newId(), label, algorithm, usage, extractable: false });
const sign = (
  agent: AgentUnderTest,
  { id: keyId }: KeyDescription,
  header: Partial<RequestHeader> = {},
  scheme: SignatureScheme = 'ecdsa-sha256',
) => agent.call('sign', { keyId, scheme, input: 'message', format: 'der', verify: false, data: message }, header);

async function ended(agent: AgentUnderTest): Promise<void> {
  agent.stream.end();
  await agent.exited;
}
const told = (records: readonly AnyRecord[]) =>
  records.map(({ kind, operation, result }) => [kind, operation, result].filter(Boolean).join(' '));
const unavailable = { code: 'ERR_HSM_AUDIT_UNAVAILABLE' };

test('tells of what the policy denies, which costs no intent on the disk', async () => {
  const audit = trail();
  const agent = await AgentUnderTest.loggedIn(token, { audit, policy: [{ label: 'audited', operations: ['find'] }] });
  const denied = { code: 'ERR_HSM_POLICY_DENIED' };
  await expect(generate(agent, 'audited')).rejects.toMatchObject(denied);
  await expect(agent.call('destroyKey', { keyId: newId() })).rejects.toMatchObject(denied);
  await ended(agent);
  expect(told(await auditRecords(audit.directory))).toEqual([
    'segment',
    'opened ok',
    'result generate ERR_HSM_POLICY_DENIED',
    'result destroy ERR_HSM_POLICY_DENIED',
    'closed',
  ]);
});

test('tells of every operation who did what with which key, and holds no data', async () => {
  const audit = trail();
  const agent = await started(audit);
  const signing = await generate(agent, 'audited');
  const kek = await generate(agent, 'audited-kek', 'aes-256', 'encrypt');
  const { signature } = await sign(agent, signing, { correlationId: 'request-7', attempt: 3 });
  const secret = randomBytes(32);
  const { envelope } = await agent.call('encrypt', { keyId: kek.id, aad: Buffer.from('aad'), data: secret });
  const failed = agent.call('decrypt', { keyId: kek.id, aad: Buffer.alloc(0), envelope });
  await expect(failed).rejects.toMatchObject({ code: 'ERR_HSM_DECRYPTION_FAILED' });
  await agent.call('destroyKey', { keyId: kek.id });
  await ended(agent);

  const all = await auditRecords(audit.directory);
  expect(told(all)).toEqual([
    'segment',
    'opened ok',
    'intent generate',
    'result generate ok',
    'intent generate',
    'result generate ok',
    'result sign ok',
    'result encrypt ok',
    'result decrypt ERR_HSM_DECRYPTION_FAILED',
    'intent destroy',
    'result destroy ok',
    'closed',
  ]);
  expect(all[1]).toMatchObject({ member: 'test', client: 'test', pid: agent.process.pid, token: { label: 'audited' } });
  expect(all[3]).toMatchObject({ intent: all[2].seq });
  expect(all[6]).toMatchObject({
    client: 'test',
    key: { id: signing.id, label: 'audited' },
    mechanism: 'ecdsa-sha256',
    digest: createHash('sha256').update(message).digest('hex'),
    correlationId: 'request-7',
    attempt: 3,
    durationMicroseconds: expect.any(Number),
  });
  expect(all[10].key).toEqual({ id: kek.id, label: 'audited-kek' });

  const file = join(audit.directory, 'test.1.000001.jsonl');
  const text = readFileSync(file, 'utf8');
  for (const bytes of [secret, message, signature, envelope, Buffer.from(token.pin)]) {
    for (const encoding of ['hex', 'base64', 'latin1'] as const) expect(text).not.toContain(bytes.toString(encoding));
  }
  expect([file, audit.directory].map((path) => statSync(path).mode & 0o777)).toEqual([0o600, 0o700]);
});

test.each([
  ['ecdsa-sha256', 'ec-p256', 'sha256'],
  ['rsa-pkcs1-sha256', 'rsa-2048', 'sha256'],
  ['ed25519', 'ed25519', 'sha512'],
] as const)(
  'a %s signature of an issuer is on the disk with its digest before it is made',
  async (scheme, algorithm, hash) => {
    const audit = trail({ issuerKeys: ['*', '!*-ocsp'], folded: [{ label: '*', operations: ['sign'] }] });
    const agent = await started(audit);
    const key = await generate(agent, `issuing-${algorithm}`, algorithm);
    await sign(agent, key, { correlationId: 'tbs' }, scheme);
    await ended(agent);
    const [intent, result] = (await auditRecords(audit.directory)).filter(({ operation }) => operation === 'sign');
    const digest = createHash(hash).update(message).digest('hex');
    expect(intent).toMatchObject({
      kind: 'intent',
      key: { label: `issuing-${algorithm}` },
      digest,
      correlationId: 'tbs',
    });
    expect(result).toMatchObject({ kind: 'result', result: 'ok', digest, intent: intent.seq });
  },
);

describe('uses that are folded', () => {
  const folding = (foldSeconds = 60) => trail({ folded: [{ label: 'hot', operations: ['sign'] }], foldSeconds });

  test('are counted by result, and nothing else of that key is', async () => {
    const audit = folding();
    const agent = await started(audit);
    const key = await generate(agent, 'hot');
    for (let turn = 0; turn < 3; turn++) await sign(agent, key);
    await expect(sign(agent, key, {}, 'rsa-pkcs1-sha256')).rejects.toMatchObject({ code: 'ERR_HSM_ARGUMENT_INVALID' });
    await sign(agent, await generate(agent, 'cold'));
    await agent.call('findKeys', { label: 'hot' });
    await ended(agent);
    const all = await auditRecords(audit.directory);
    expect(told(all).slice(4, -1)).toEqual([
      'folded-open sign',
      'folded-open sign',
      'intent generate',
      'result generate ok',
      'result sign ok',
      'result find ok',
      'folded sign',
      'folded sign',
    ]);
    const [signed, refused] = all.filter(({ kind }) => kind === 'folded');
    const use = { client: 'test', key: { id: key.id, label: 'hot' } };
    expect(signed).toMatchObject({ ...use, mechanism: 'ecdsa-sha256', counts: { ok: 3 }, open: all[4].seq });
    expect(refused).toMatchObject({ counts: { ERR_HSM_ARGUMENT_INVALID: 1 }, open: all[5].seq });
  });

  test('are told of each time the interval is over', async () => {
    const audit = folding(0.1);
    const agent = await started(audit);
    const key = await generate(agent, 'hot');
    const folds = async () => told(await auditRecords(audit.directory)).filter((each) => each.startsWith('folded'));
    for (let turn = 1; turn <= 2; turn++) {
      await sign(agent, key);
      await eventually(async () => (await folds()).length === 2 * turn);
    }
    await ended(agent);
    expect(await folds()).toEqual(['folded-open sign', 'folded sign', 'folded-open sign', 'folded sign']);
  });

  test('leave an opening record without a count when the agent is killed', async () => {
    const audit = folding();
    const agent = await started(audit);
    await sign(agent, await generate(agent, 'hot'));
    // What was recorded before an intent is in the file with it.
    await generate(agent, 'after');
    agent.process.kill('SIGKILL');
    await agent.exited;
    await ended(await started(audit));
    const all = told(await auditRecords(audit.directory));
    expect(all.filter((each) => /folded|opened|closed/.test(each))).toEqual([
      'opened ok',
      'folded-open sign',
      'opened ok',
      'closed',
    ]);
  });

  test('are those of the probe’s key, always', async () => {
    const audit = trail({ issuerKeys: ['*'] });
    const agent = await started(audit);
    await sign(agent, await generate(agent, probeKeyLabel));
    await ended(agent);
    expect(told(await auditRecords(audit.directory)).slice(4)).toEqual(['folded-open sign', 'folded sign', 'closed']);
  });
});

describe('the chain', () => {
  test('goes on through agents that are killed while they write', async () => {
    const audit = trail({ maximumSegmentBytes: 4_096 });
    let agent = await started(audit);
    const key = await generate(agent, 'killed');
    let answered = 0;
    for (let life = 0; life < 4; life++) {
      const count = () => answered++;
      const calls = Array.from({ length: 60 }, () => sign(agent, key).then(count, () => undefined));
      await Promise.all(calls.slice(0, 15 + life));
      agent.process.kill('SIGKILL');
      await agent.exited;
      agent = await started(audit);
    }
    await ended(agent);
    const [chain, ...others] = await readChains(audit.directory);
    expect(others).toEqual([]);
    expect(chain.records.filter(({ kind }) => kind === 'opened')).toHaveLength(5);
    expect(answered).toBeGreaterThanOrEqual(60);
    // A chain of several segments, and not one torn line that is not told of.
    expect(chain.records.flatMap(({ torn = [] }) => torn)).toEqual(chain.unreadable);
    expect(chain.records.filter(({ kind }) => kind === 'segment').length).toBeGreaterThan(2);
  });

  test('is each agent’s own', async () => {
    const audit = trail();
    const agents = [await started(audit), await started(audit)];
    const key = await generate(agents[0], 'of-two');
    await Promise.all(agents.flatMap((agent) => Array.from({ length: 20 }, () => sign(agent, key))));
    await Promise.all(agents.map(ended));
    const chains = await readChains(audit.directory);
    expect(chains.map(({ name }) => name)).toEqual(['test.1', 'test.2']);
    for (const { records } of chains)
      expect(told(records).filter((each) => each === 'result sign ok')).toHaveLength(20);
  });

  test('tells of a PIN that was refused', async () => {
    const audit = trail();
    const other = new TestToken('other');
    writeFileSync(other.pinFile, 'wrong', { mode: 0o600 });
    const agent = new AgentUnderTest(other);
    await expect(agent.hello({ audit })).rejects.toMatchObject({ code: 'ERR_HSM_PIN_INCORRECT' });
    await ended(agent);
    other.remove();
    const [, opened] = await auditRecords(audit.directory);
    expect(opened).toMatchObject({ kind: 'opened', token: { label: 'other' }, result: 'ERR_HSM_PIN_INCORRECT' });
  });
});

describe('a trail that cannot be written', () => {
  /** No file of the agent may grow further, as on a full disk; it gets the error EFBIG. */
  const setFull = (agent: AgentUnderTest, audit: AuditSettings, isFull: boolean) => {
    const limit = isFull ? statSync(join(audit.directory, 'test.1.000001.jsonl')).size + 100 : 'unlimited';
    execFileSync('prlimit', ['--pid', String(agent.process.pid), `--fsize=${limit}:unlimited`]);
  };

  test('refuses key management and issuers’ signatures, goes on with uses, and tells of the gap', async () => {
    const audit = trail({ issuerKeys: ['issuing'] });
    const agent = await started(audit);
    const [key, issuing] = [await generate(agent, 'use'), await generate(agent, 'issuing')];
    await sign(agent, key);
    await generate(agent, 'enough-for-a-limit', 'rsa-2048');
    // The answer does not wait for it.
    await eventually(async () => told(await auditRecords(audit.directory)).at(-1) === 'result generate ok');
    setFull(agent, audit, true);
    await expect(generate(agent, 'never-made')).rejects.toMatchObject(unavailable);
    await expect(sign(agent, issuing)).rejects.toMatchObject(unavailable);
    for (let turn = 0; turn < 5; turn++) expect((await sign(agent, key)).signature.length).toBeGreaterThan(60);
    expect(await agent.call('findKeys', { label: 'never-made' })).toHaveLength(0);
    expect(agent.output).toMatch(/audit lines are being lost: .*EFBIG/);
    setFull(agent, audit, false);
    await expect(sign(agent, issuing)).resolves.toBeDefined();
    await ended(agent);
    const [{ records, unreadable }] = await readChains(audit.directory);
    expect(unreadable).toEqual([]);
    const gap = records.findIndex(({ kind }) => kind === 'gap');
    // Two intents and their results, five signatures and a search.
    expect(records[gap]).toMatchObject({ lost: 10, operations: 8 });
    expect(told(records.slice(gap))).toEqual(['gap', 'intent sign', 'result sign ok', 'closed']);
  });

  test('tells of the gap as soon as it can, without anything to record', async () => {
    const audit = trail();
    const agent = await started(audit);
    const key = await generate(agent, 'quiet');
    setFull(agent, audit, true);
    await sign(agent, key);
    await eventually(() => agent.output.includes('audit lines are being lost'));
    setFull(agent, audit, false);
    await eventually(async () => told(await auditRecords(audit.directory)).includes('gap'));
  });

  test('refuses every use where that is chosen', async () => {
    const audit = trail({ onFailure: { use: 'refuse' } });
    const agent = await started(audit);
    const key = await generate(agent, 'refused');
    setFull(agent, audit, true);
    await expect(sign(agent, key)).rejects.toMatchObject(unavailable);
    await expect(sign(agent, key)).rejects.toMatchObject(unavailable);
    setFull(agent, audit, false);
    for (;;) {
      const outcome = await sign(agent, key).catch((error: unknown) => error);
      if (!(outcome instanceof Error)) break;
      expect(outcome).toMatchObject(unavailable);
      await pause(50);
    }
    await ended(agent);
    const records = await auditRecords(audit.directory);
    expect(told(records)).toContain('gap');
    expect(told(records).slice(-2)).toEqual(['result sign ok', 'closed']);
    expect(told(records).filter((each) => each === 'result sign ok')).toHaveLength(1);
  });

  test.each([
    ['a file in the place of its directory', (path: string) => writeFileSync(path, '')],
    ['a directory that others may write in', (path: string) => (mkdirSync(path), chmodSync(path, 0o777))],
    [
      'a directory in the place of a segment',
      (path: string) => mkdirSync(join(path, 'test.1.000001.jsonl'), { recursive: true }),
    ],
  ])('stops the start: %s', async (_name, prepare) => {
    const audit = trail();
    prepare(audit.directory);
    await expect(new AgentUnderTest(token).hello({ audit })).rejects.toMatchObject(unavailable);
  });

  test('stops the start: a full disk', async () => {
    const audit = trail();
    const agent = new AgentUnderTest(token);
    execFileSync('prlimit', ['--pid', String(agent.process.pid), '--fsize=200']);
    await expect(agent.hello({ audit })).rejects.toMatchObject(unavailable);
    await ended(agent);
    // The next one finds nothing torn.
    await ended(await started(audit));
    expect((await readChains(audit.directory))[0].unreadable).toEqual([]);
  });
});
