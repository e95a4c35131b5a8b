/**
 * One token agent shared by several processes of a host: one login, one policy for each role, and nobody harmed by what
 * becomes of another client or of the agent itself.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { verify } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Hsm, type HsmConfig, type HsmKey, SharedAgent, type SharedAgentConfig } from '@nest-hsm/hsm';
import { protocolVersion } from '../../libs/hsm/src/agent/protocol.js';
import { VirtualHsm } from '../chaos/virtual-hsm.js';
import { Conversation } from '../support/conversation.js';
import { eventually } from '../support/eventually.js';
import { childrenOf, exists } from '../support/processes.js';

const message = Buffer.from('a message');
const nobody = 65_534;
const asRoot = process.getuid?.() === 0 ? test : test.skip;

let device: VirtualHsm;
let agent: SharedAgent;
const clients: Hsm[] = [];
let tlsKey: HsmKey;
let caKey: HsmKey;

const directoryOf = (role: string) => join(device.token.directory, 'run', role);
const socketOf = (role: string) => join(directoryOf(role), 'agent.sock');

function configuration(overrides: Partial<SharedAgentConfig> = {}): SharedAgentConfig {
  const { name: _, ...token } = device.member({ sessions: 4 });
  return {
    ...token,
    stateDirectory: join(device.token.directory, 'agent-state'),
    hangMilliseconds: 500,
    roles: [
      {
        name: 'tls',
        directory: directoryOf('tls'),
        policy: [{ label: 'tls-*', operations: ['find', 'sign'], mechanisms: ['ecdsa-sha256'] }],
        connections: 4,
        callsInFlight: 32,
      },
      { name: 'ca', directory: directoryOf('ca'), policy: [{ label: 'ca-*', operations: ['find', 'sign'] }] },
    ],
    ...overrides,
  };
}

function clientConfig(role: string, overrides: Partial<HsmConfig> = {}): HsmConfig {
  return {
    name: role,
    members: [{ name: 'shared', socket: socketOf(role), sessions: 16 }],
    stateDirectory: join(device.token.directory, 'client-state'),
    ...overrides,
  };
}

async function open(role: string, overrides: Partial<HsmConfig> = {}): Promise<Hsm> {
  const hsm = await Hsm.open(clientConfig(role, overrides));
  clients.push(hsm);
  return hsm;
}

async function signAndVerify(hsm: Hsm, key: HsmKey): Promise<boolean> {
  const signature = await hsm.sign(key, 'ecdsa-sha256', message, { deadlineMilliseconds: 20_000 });
  return verify('sha256', message, key.publicKey ?? '', signature);
}

function agentPid(): number {
  const children = childrenOf(process.pid).filter((pid) => !workers.some((each) => each.process.pid === pid));
  expect(children).toHaveLength(1);
  return children[0];
}

/** Another process with the same role. */
class Worker {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  constructor(role: string) {
    const script = fileURLToPath(new URL('shared-agent-worker.mjs', import.meta.url));
    this.process = spawn(process.execPath, [script, JSON.stringify(clientConfig(role))], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#reader = createInterface(this.process.stdout as NonNullable<ChildProcess['stdout']>);
    this.#lines = this.#reader[Symbol.asyncIterator]();
    workers.push(this);
  }

  async says(): Promise<string> {
    return String((await this.#lines.next()).value);
  }

  sign(label: string, count: number): void {
    this.process.stdin?.write(`sign ${label} ${count}\n`);
  }

  async kill(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGKILL');
      await once(this.process, 'exit');
    }
  }
}
let workers: Worker[] = [];

beforeAll(async () => {
  device = new VirtualHsm('shared');
  mkdirSync(join(device.token.directory, 'run'));
  const hsm = await Hsm.open(device.config());
  tlsKey = await hsm.generateKeyPair({ label: 'tls-1', algorithm: 'ec-p256' });
  caKey = await hsm.generateKeyPair({ label: 'ca-1', algorithm: 'ec-p256' });
  await hsm.close();
  // SoftHSM loses a token when it is killed in C_Login; that is not what is tested here.
  device.snapshotToken();
});
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.kill()));
  workers = [];
  device.heal();
  device.thaw();
  await Promise.all(clients.splice(0).map((hsm) => hsm.close()));
});
afterAll(() => device.remove());

/** Nothing is left behind. */
async function closeAgent(): Promise<void> {
  await agent.close();
  expect(childrenOf(process.pid)).toEqual([]);
  for (const role of ['tls', 'ca']) expect(existsSync(socketOf(role))).toBe(false);
  device.restoreToken();
}

test('several processes have one agent and one login', async () => {
  const logins = device.calls('C_Login');
  agent = await SharedAgent.start(configuration());
  const both = [new Worker('tls'), new Worker('tls')];
  expect(await Promise.all(both.map((worker) => worker.says()))).toEqual(['open', 'open']);
  for (const worker of both) worker.sign('tls-1', 50);
  expect(await Promise.all(both.map((worker) => worker.says()))).toEqual(['done', 'done']);
  for (const worker of both) expect(childrenOf(worker.process.pid as number)).toEqual([]);
  expect(device.calls('C_Login') - logins).toBe(1);

  const killed = agentPid();
  // Slow enough to be under way still.
  device.delay('C_Sign', 20);
  for (const worker of both) worker.sign('tls-1', 200);
  await pause(30);
  process.kill(killed, 'SIGKILL');
  await pause(10);
  await both[0].kill();
  expect(await both[1].says()).toBe('done');
  device.heal('C_Sign');
  expect(device.calls('C_Login') - logins).toBe(2);
  expect(agentPid()).not.toBe(killed);
  await Promise.all(both.map((worker) => worker.kill()));
  await closeAgent();
});

describe('what a client may do', () => {
  let tls: Hsm;
  beforeAll(async () => {
    agent = await SharedAgent.start(configuration());
  });
  beforeEach(async () => {
    tls = await open('tls');
  });
  afterAll(closeAgent);

  test('is what its role’s policy lists, whatever the client says it is', async () => {
    const ca = await open('ca', { client: 'tls', stateDirectory: undefined });
    expect([await signAndVerify(tls, tlsKey), await signAndVerify(ca, caKey)]).toEqual([true, true]);
    const denied = { code: 'ERR_HSM_POLICY_DENIED' };
    await expect(tls.sign(caKey, 'ecdsa-sha256', message)).rejects.toMatchObject(denied);
    await expect(ca.sign(tlsKey, 'ecdsa-sha256', message)).rejects.toMatchObject(denied);
    await expect(tls.findKey({ label: 'ca-1' })).rejects.toMatchObject(denied);
    await expect(tls.sign(tlsKey, 'ecdsa-sha384', message)).rejects.toMatchObject(denied);
    await expect(tls.destroyKey(tlsKey)).rejects.toMatchObject(denied);
    await expect(tls.generateKeyPair({ label: 'nest-hsm-probe', algorithm: 'ec-p256' })).rejects.toMatchObject(denied);
    // Nowhere to keep what became of a key.
    const records = { code: 'ERR_HSM_CONFIG_INVALID', message: expect.stringMatching(/^ca: want stateDirectory/) };
    await expect(ca.destroyKey(caKey)).rejects.toMatchObject(records);
    await expect(ca.rotateKey('ca-1')).rejects.toMatchObject(records);
    const passing = { label: 'nest-hsm-bench-1', algorithm: 'ec-p256', measurement: true } as const;
    await expect(ca.generateKeyPair(passing)).rejects.toMatchObject(records);
    expect((await tls.listKeys()).map(({ label }) => label).toSorted()).toEqual(['nest-hsm-probe', 'tls-1']);
    await tls.probe();
  });

  test.each<[string, Partial<HsmConfig>, boolean]>([
    ['unless it says which keys are issuers’', { audit: { directory: '/none', issuerKeys: ['ca-*'] } }, true],
    ['and its signatures are not hedged where it does not', {}, false],
  ])('is not known to it, %s', async (_which, overrides, isHedged) => {
    const members = ['one', 'other'].map((name) => ({ name, socket: socketOf('tls'), sessions: 2 }));
    const hsm = await Hsm.open(clientConfig('tls', { members, ...overrides }), { callHedged: () => hedged++ });
    clients.push(hsm);
    let hedged = 0;
    await eventually(() => hsm.members.every(({ state }) => state === 'serving'));
    device.delay('C_Sign', 200);
    await hsm.sign(tlsKey, 'ecdsa-sha256', message, { hedge: true, deadlineMilliseconds: 30_000 });
    expect(hedged > 0).toBe(isHedged);
  });

  test('does not include a token, a PIN or a policy of its own', async () => {
    const raw = new Conversation(connect(socketOf('tls')));
    const pin = { value: device.token.pin };
    const token = { module: device.module, token: { label: 'shared' }, pin, sessions: 1, vendor: 'auto' } as const;
    const hello = { version: protocolVersion, client: 'ca', settings: { ...token, stateDirectory: '/none' } };
    await expect(raw.call('hello', hello)).rejects.toMatchObject({ code: 'ERR_HSM_PROTOCOL' });
    await expect(sign(raw, tlsKey)).rejects.toMatchObject({ code: 'ERR_HSM_PROTOCOL' });
  });

  test('is bounded in connections and in calls', async () => {
    for (let count = 0; count < 3; count++) await open('tls');
    const fifth = await open('tls');
    expect(fifth.members[0]).toMatchObject({ state: 'starting', trouble: { code: 'ERR_HSM_OVERLOADED' } });
    await clients.splice(1, 1)[0].close();
    await eventually(() => fifth.members[0].state === 'serving');

    const ca = await introduced('ca');
    // 4 sessions, each busy with one until what came with it has been read.
    device.delay('C_Sign', 300);
    let refused = 0;
    const answers = Array.from({ length: 80 }, () =>
      sign(ca, caKey).catch((error: unknown) => {
        refused++;
        throw error;
      }),
    );
    const settled = Promise.allSettled(answers);
    await eventually(() => refused === 16);
    device.delay('C_Sign', 0);
    const outcomes = await settled;
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(64);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected')
        expect(outcome.reason).toMatchObject({ code: 'ERR_HSM_OVERLOADED', retryable: true });
    }
  });

  test('is to wait for others longer than an operation may take', async () => {
    const members = [{ name: 'shared', socket: socketOf('ca'), sessions: 32 }];
    const hsm = await Hsm.open(clientConfig('ca', { members, hangMilliseconds: 250 }), { callMoved: () => moved++ });
    clients.push(hsm);
    let moved = 0;
    // 4 sessions: the last of them waits eight times as long as it is on the token.
    device.delay('C_Sign', 100);
    const signed = await Promise.all(Array.from({ length: 32 }, () => signAndVerify(hsm, caKey)));
    expect([signed.every(Boolean), moved, hsm.members[0].state]).toEqual([true, 0, 'serving']);
  });

  asRoot('is nothing at all for another user', async () => {
    for (const role of ['tls', 'ca']) {
      const script = `require('net').connect(${JSON.stringify(socketOf(role))}).on('error', (e) => console.log(e.code)).on('connect', () => console.log('in'))`;
      chmodSync(device.token.directory, 0o711);
      const options = { uid: nobody, gid: nobody, encoding: 'utf8' as const };
      expect(execFileSync(process.execPath, ['--eval', script], options).trim()).toBe('EACCES');
    }
  });

  test('harms nobody when it floods, sends garbage or halves, reads nothing, or vanishes', async () => {
    device.delay('C_Sign', 1);
    const [flooding, deaf, vanishing, ...rest] = await Promise.all(Array.from({ length: 3 }, () => introduced('ca')));
    expect(rest).toEqual([]);
    let isFlooding = true;
    const flood = (async () => {
      while (isFlooding) {
        await Promise.allSettled(Array.from({ length: 400 }, () => sign(flooding, caKey)));
      }
    })();
    deaf.stream.pause();
    for (let count = 0; count < 60; count++) void sign(deaf, caKey).catch(() => undefined);
    for (let count = 0; count < 5_000; count++) void deaf.call('ping', {}).catch(() => undefined);
    const garbage = connect(socketOf('ca')).on('error', () => undefined);
    garbage.write(Buffer.alloc(100_000, 0xff));
    const half = connect(socketOf('ca')).on('error', () => undefined);
    half.write(Buffer.of(100, 0, 0, 0, 3, 1));
    for (let count = 0; count < 60; count++) void sign(vanishing, caKey).catch(() => undefined);
    setTimeout(() => vanishing.stream.destroy(), 20);

    const pid = agentPid();
    const honest = await Promise.all(Array.from({ length: 50 }, () => signAndVerify(tls, tlsKey)));
    expect(honest).toEqual(Array(50).fill(true));
    isFlooding = false;
    for (const { stream } of [deaf, { stream: half }, { stream: garbage }]) stream.destroy();
    await flood;
    flooding.stream.destroy();
    expect(agentPid()).toBe(pid);
  });
});

describe('the agent', () => {
  afterEach(closeAgent);

  test.each(['SIGKILL', 'SIGSTOP'] as const)('gets %s while two clients sign: no call fails', async (signal) => {
    agent = await SharedAgent.start(configuration());
    const pair = [await open('tls'), await open('ca')] as const;
    let done = false;
    const results: boolean[] = [];
    const callers = Array.from({ length: 8 }, async (_, index) => {
      while (!done)
        results.push(await (index % 2 === 0 ? signAndVerify(pair[0], tlsKey) : signAndVerify(pair[1], caKey)));
    });
    await pause(50);
    const pid = agentPid();
    process.kill(pid, signal);
    await eventually(() => !exists(pid) && pair.every(({ members: [member] }) => member.state === 'serving'));
    await pause(50);
    done = true;
    await Promise.all(callers);
    expect(results.length).toBeGreaterThan(8);
    expect(results.every(Boolean)).toBe(true);
  });

  test('that is lost twice under a call, as for what others do with it, makes the call with the next', async () => {
    agent = await SharedAgent.start(configuration());
    const tls = await open('tls');
    device.crash('C_Sign', 'abort', { times: 2 });
    expect(await signAndVerify(tls, tlsKey)).toBe(true);
  });

  test('that a frozen token does not answer ends itself, and waiting calls are made by the next', async () => {
    const lost: string[] = [];
    agent = await SharedAgent.start(configuration(), { agentLost: ({ message: text }) => lost.push(text) });
    const tls = await open('tls', { hangMilliseconds: 60_000 });
    const pid = agentPid();
    device.freeze('C_Sign', { times: 1 });
    expect(await signAndVerify(tls, tlsKey)).toBe(true);
    expect(exists(pid)).toBe(false);
    expect(lost).toEqual([expect.stringContaining('sign took longer than 500 ms on the token')]);
  });

  test('whose event loop a frozen token blocks is replaced, though no call is too old and nobody waits', async () => {
    const lost: string[] = [];
    // By the age of a call nobody would find it: only its silence is left.
    const patient = { hangMilliseconds: 600_000 };
    agent = await SharedAgent.start(configuration(patient), { agentLost: ({ message: text }) => lost.push(text) });
    const tls = await open('tls', patient);
    const pid = agentPid();
    const leaving = new AbortController();
    const before = device.calls('C_FindObjectsInit');
    // Searched for on the event loop, as signatures are not.
    device.freeze('C_FindObjectsInit', { times: 1 });
    const asked = tls.listKeys({ label: 'tls-1' }, { signal: leaving.signal });
    await eventually(() => device.calls('C_FindObjectsInit') > before);
    leaving.abort();
    await expect(asked).rejects.toMatchObject({ code: 'ERR_HSM_ABORTED' });
    await tls.close();
    await eventually(() => !exists(pid));
    device.heal('C_FindObjectsInit');
    expect(await signAndVerify(await open('tls'), tlsKey)).toBe(true);
    expect(lost).toEqual([expect.stringContaining('silent for')]);
  });

  test('that drains answers what it has, and lets its clients wait for the next', async () => {
    agent = await SharedAgent.start(configuration());
    const tls = await open('tls');
    device.delay('C_Sign', 100);
    const answers = Array.from({ length: 4 }, () => signAndVerify(tls, tlsKey));
    await eventually(() => tls.load.inFlight === 4);
    await pause(20);
    await agent.close();
    device.heal('C_Sign');
    agent = await SharedAgent.start(configuration());
    expect(await Promise.all(answers)).toEqual([true, true, true, true]);
  });

  test('with a refused PIN is not started until that is mended, and its clients are told', async () => {
    const good = join(device.token.directory, 'agent-pin');
    writeFileSync(good, device.token.pin, { mode: 0o600 });
    agent = await SharedAgent.start(configuration({ pin: { file: good } }));
    const tls = await open('tls');
    writeFileSync(good, 'wrong', { mode: 0o600 });
    const logins = device.calls('C_Login');
    process.kill(agentPid(), 'SIGKILL');
    await eventually(() => tls.members[0].state === 'refused');
    await expect(signAndVerify(tls, tlsKey)).rejects.toMatchObject({ code: 'ERR_HSM_PIN_INCORRECT' });
    await expect(Hsm.open(clientConfig('ca'))).rejects.toMatchObject({
      code: 'ERR_HSM_PIN_INCORRECT',
      fault: 'operator',
    });
    expect(device.calls('C_Login') - logins).toBe(1);

    // Its clients come back by themselves.
    await agent.close();
    writeFileSync(good, device.token.pin, { mode: 0o600 });
    agent = await SharedAgent.start(configuration({ pin: { file: good } }));
    await eventually(() => tls.members[0].state !== 'refused');
    expect(await signAndVerify(tls, tlsKey)).toBe(true);
  });
});

describe('a socket', () => {
  afterEach(closeAgent);

  test('left by an agent that was killed is replaced, one that is listened to is not', async () => {
    const config = configuration();
    mkdirSync(directoryOf('tls'), { recursive: true, mode: 0o700 });
    const script = `require('net').createServer().listen(${JSON.stringify(socketOf('tls'))}, () => process.kill(process.pid, 'SIGKILL'))`;
    expect(() => execFileSync(process.execPath, ['--eval', script])).toThrow();
    expect(existsSync(socketOf('tls'))).toBe(true);
    agent = await SharedAgent.start(config);
    expect(statSync(socketOf('tls')).mode & 0o777).toBe(0o600);
    const second = SharedAgent.start(config);
    await expect(second).rejects.toMatchObject({
      code: 'ERR_HSM_CONFIG_INVALID',
      message: expect.stringContaining('another agent listens'),
    });
    expect(await signAndVerify(await open('tls'), tlsKey)).toBe(true);
  });

  test('in a directory that others may write in is neither made nor used', async () => {
    chmodSync(directoryOf('tls'), 0o770);
    const refused = { code: 'ERR_HSM_CONFIG_INVALID', message: expect.stringContaining('nobody but its owner') };
    await expect(SharedAgent.start(configuration())).rejects.toMatchObject(refused);
    const impostor = createServer().listen(socketOf('tls'));
    await once(impostor, 'listening');
    await expect(Hsm.open(clientConfig('tls'))).rejects.toMatchObject(refused);
    impostor.close();
    chmodSync(directoryOf('tls'), 0o700);
  });
});

async function introduced(role: string): Promise<Conversation> {
  const conversation = new Conversation(connect(socketOf(role)));
  await conversation.call('hello', { version: protocolVersion, client: 'raw' });
  return conversation;
}

function sign(client: Conversation, { id: keyId }: HsmKey): Promise<unknown> {
  const how = { scheme: 'ecdsa-sha256', input: 'message', format: 'der', verify: false } as const;
  return client.call('sign', { keyId, ...how, data: message });
}
