import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Hsm, type HsmKey } from '@nest-hsm/hsm';
import { bench } from '../../apps/cli/src/token/bench/bench.js';
import { TestToken } from '../support/token.js';

let token: TestToken;
let config: string;
const signal = new AbortController().signal;

beforeEach(() => {
  token = new TestToken('bench');
  config = join(token.directory, 'application.yaml');
  writeFileSync(config, JSON.stringify({ hsm: token.config() }));
});
afterEach(() => token.remove());

async function withHsm<T>(work: (hsm: Hsm) => Promise<T>): Promise<T> {
  const hsm = await Hsm.open(token.config());
  try {
    return await work(hsm);
  } finally {
    await hsm.close();
  }
}
const makeKey = (label: string, measurement = true): Promise<HsmKey> =>
  withHsm((hsm) => hsm.generateSecretKey({ label, algorithm: 'aes-256', usage: 'encrypt', measurement }));
const labels = (): Promise<string[]> => withHsm(async (hsm) => (await hsm.listKeys()).map(({ label }) => label));

test('measures with keys of its own, and not where applications have theirs unless it may', async () => {
  const terms = {
    config,
    operations: ['unwrap', 'generate-aes-256'] as const,
    concurrency: [1, 3],
    seconds: 0.2,
    signal,
  };
  await makeKey('kek', false);
  const refused = bench({ ...terms, yes: false }, () => undefined);
  await expect(refused).rejects.toMatchObject({ code: 'ERR_CLI_NOT_CONFIRMED' });
  const { measurements, hsms } = await bench({ ...terms, yes: true, member: 'bench' }, () => undefined);
  expect(hsms).toBe(1);
  expect(measurements.map(({ operation, concurrency }) => [operation, concurrency])).toEqual([
    ['unwrap', 1],
    ['unwrap', 3],
    ['generate-aes-256', 1],
    ['generate-aes-256', 3],
  ]);
  for (const { calls, perSecond, failed } of measurements) {
    expect(failed).toEqual({});
    expect(calls).toBeGreaterThan(0);
    expect(perSecond).toBeGreaterThan(0);
  }
  // Not even the key that signs receipts of destructions, since there are none.
  expect(await labels()).toEqual(['kek']);
  expect(await withHsm((hsm) => hsm.receipts())).toEqual([]);
});

test('does not say that its keys are destroyed where they are not', async () => {
  const config = join(token.directory, 'policy.yaml');
  const policy = [{ label: '*', operations: ['find', 'generate', 'encrypt', 'decrypt'] }] as const;
  writeFileSync(config, JSON.stringify({ hsm: token.config({ policy }) }));
  const stopping = new AbortController();
  const terms = { config, operations: ['unwrap'] as const, concurrency: [1], seconds: 60, yes: false };
  const stopped = bench({ ...terms, signal: stopping.signal }, () => stopping.abort());
  await expect(stopped).rejects.toMatchObject({ code: 'ERR_HSM_POLICY_DENIED' });
  expect(await labels()).toEqual([expect.stringMatching(/^nest-hsm-bench-/)]);
});

test('keeps to labels that no application may give a key, which would have no receipt of its destruction', async () => {
  const refused = { code: 'ERR_HSM_ARGUMENT_INVALID' };
  await expect(makeKey('nest-hsm-bench-of-ours', false)).rejects.toMatchObject(refused);
  await expect(makeKey('kek', true)).rejects.toMatchObject(refused);
  const unwrapped = { label: 'nest-hsm-bench-of-ours', algorithm: 'aes-256', usage: 'encrypt' } as const;
  await withHsm(async (hsm) => {
    const pair = await hsm.generateKeyPair({ label: 'transport', algorithm: 'rsa-2048', usage: 'unwrap' });
    await expect(hsm.unwrapKey(Buffer.alloc(256), pair, 'rsa-oaep-sha256', unwrapped)).rejects.toMatchObject(refused);
  });
  expect(await labels()).toEqual(['transport']);
});

test('destroys its keys on Ctrl-C, and those of a run that was killed', async () => {
  const here = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
  const gone = spawn(process.execPath, ['-e', '']);
  await once(gone, 'exit');
  await makeKey(`nest-hsm-bench-${here}-${gone.pid}-unwrap`);
  const running = `nest-hsm-bench-${here}-${process.pid}-unwrap`;
  await makeKey(running);

  const args = [
    'dist/apps/cli/main.js',
    'token',
    'bench',
    '--config',
    config,
    '--algorithm',
    'unwrap',
    '--seconds',
    '60',
  ];
  const command = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  command.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    if (text.includes('at once')) command.kill('SIGINT');
  });
  expect(await once(command, 'exit')).toEqual([130, null]);
  expect(said).toMatch(
    /destroyed 1 keys that a measurement left[^]*stopped; the keys of the measurement are destroyed/,
  );
  // Of another run that is still at work.
  expect(await labels()).toEqual([running]);
});
