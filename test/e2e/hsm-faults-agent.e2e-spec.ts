/** The agent process itself is stopped, killed or orphaned. */
import { spawn } from 'node:child_process';
import { verify } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Hsm, type HsmKey } from '@nest-hsm/hsm';
import { VirtualHsm } from '../chaos/virtual-hsm.js';
import { eventually } from '../support/eventually.js';
import { childrenOf, exists } from '../support/processes.js';

let device: VirtualHsm;
let hsm: Hsm;
let key: HsmKey;

beforeAll(async () => {
  device = new VirtualHsm('agent');
  hsm = await Hsm.open(device.config());
  key = await hsm.generateKeyPair({ label: 'ec', algorithm: 'ec-p256' });
  await hsm.close();
  // SoftHSM loses a token when it is killed in C_Login; that is not what is tested here.
  device.snapshotToken();
});
beforeEach(async () => {
  device.restoreToken();
  hsm = await Hsm.open(device.config());
});
afterEach(async () => {
  await hsm.close();
  expect(childrenOf(process.pid)).toEqual([]);
});
afterAll(() => device.remove());

const message = Buffer.from('a message');
async function signAndVerify(): Promise<boolean> {
  const signature = await hsm.sign(key, 'ecdsa-sha256', message, { deadlineMilliseconds: 15_000 });
  return verify('sha256', message, key.publicKey ?? '', signature);
}

function agentOf(pid: number): number {
  const children = childrenOf(pid);
  expect(children).toHaveLength(1);
  return children[0];
}

/** Signs with 16 callers while `interfere` does its worst, and goes on until the new agent has served for a while. */
async function signThroughout(interfere: () => Promise<void> | void): Promise<boolean[]> {
  let done = false;
  const results: boolean[] = [];
  const callers = Array.from({ length: 16 }, async () => {
    while (!done) results.push(await signAndVerify());
  });
  await pause(100);
  await interfere();
  await Promise.race([signAndVerify(), Promise.all(callers)]);
  await pause(100);
  done = true;
  await Promise.all(callers);
  return results;
}

test.each(['SIGKILL', 'SIGSTOP', 'SIGTERM', 'SIGSEGV'] as const)(
  'an agent that gets %s while 16 callers sign: no call fails',
  async (signal) => {
    const agent = agentOf(process.pid);
    const results = await signThroughout(() => void process.kill(agent, signal));
    expect(results.length).toBeGreaterThan(16);
    expect(results.every(Boolean)).toBe(true);
    expect(agentOf(process.pid)).not.toBe(agent);
    expect(exists(agent)).toBe(false);
  },
);

test('killed again and again: no call fails', async () => {
  const results = await signThroughout(async () => {
    for (let turn = 0; turn < 3; turn++) {
      for (const agent of childrenOf(process.pid)) process.kill(agent, 'SIGKILL');
      // A call is made twice at most: those that were lost with the last agent are through before the next one is killed.
      for (let signed = 0; signed < 20; signed++) await signAndVerify();
    }
  });
  expect(results.every(Boolean)).toBe(true);
});

test('a stopped agent does not hold up close', async () => {
  const agent = agentOf(process.pid);
  process.kill(agent, 'SIGSTOP');
  await hsm.close();
  expect(exists(agent)).toBe(false);
});

describe('an application that is killed -9 takes its agent with it', () => {
  test.each<[string, () => void]>([
    ['idle', () => undefined],
    ['with calls that a frozen device never answers', () => device.freeze('C_Sign')],
    ['with an agent whose event loop is blocked in the module', () => device.freeze()],
  ])('%s', async (_name, prepare) => {
    const holder = spawn(
      process.execPath,
      [fileURLToPath(new URL('hsm-holder.mjs', import.meta.url)), JSON.stringify(device.config({ name: 'holder' }))],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    await once(holder.stdout, 'data');
    const agent = agentOf(holder.pid as number);
    prepare();
    holder.stdin.write('use it\n');
    await pause(300);
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    try {
      await eventually(() => !exists(agent));
    } finally {
      device.thaw();
      device.heal();
    }
  });
});

test('the agent has neither the PIN nor a stranger’s environment, and no inspector', () => {
  process.env.NEST_HSM_TEST_SECRET = 'not for the agent';
  const agent = agentOf(process.pid);
  const read = (file: string) => readFileSync(`/proc/${agent}/${file}`, 'utf8').split('\0');
  const everything = [...read('cmdline'), ...read('environ')].join('\n');
  expect(everything).not.toContain(device.token.pin);
  expect(everything).not.toMatch(/NODE_OPTIONS|NEST_HSM_TEST_SECRET|inspect/);
  expect(read('cmdline')).toContain('--disable-sigusr1');
  expect(readFileSync(`/proc/${agent}/limits`, 'utf8')).toMatch(/Max core file size\s+0\s+0/);
});
