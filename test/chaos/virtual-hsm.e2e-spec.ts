import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, createPublicKey, verify } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { TestToken } from '../support/token.js';
import { VirtualHsm } from './virtual-hsm.js';

const message = Buffer.from('a message');
const digest = createHash('sha256').update(message).digest('hex');

/** A PKCS#11 client in its own process, which has nothing to do with the library under test. */
class Probe {
  readonly process: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor(
    private readonly device: VirtualHsm,
    variables: Record<string, string> = {},
  ) {
    const script = fileURLToPath(new URL('probe.mjs', import.meta.url));
    const env = { ...process.env, ...device.moduleEnvironment, ...variables };
    this.process = spawn(process.execPath, [script], { env, stdio: ['pipe', 'pipe', 'ignore'] });
    this.#answers = createInterface({ input: this.process.stdout! })[Symbol.asyncIterator]();
  }

  async ask(command: Record<string, unknown>): Promise<Record<string, unknown>> {
    this.process.stdin!.write(`${JSON.stringify(command)}\n`);
    const answer = await this.#answers.next();
    return answer.done === true ? { ended: true } : (JSON.parse(answer.value) as Record<string, unknown>);
  }

  start() {
    const { label, pin } = this.device.token;
    return this.ask({ do: 'start', path: this.device.module, label, pin });
  }

  sign() {
    return this.ask({ do: 'sign', digest });
  }

  async stop() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    this.process.kill('SIGKILL');
    await once(this.process, 'exit');
  }
}

describe('a virtual HSM', () => {
  let device: VirtualHsm;
  let probe: Probe;
  let point: string;

  beforeAll(() => {
    device = new VirtualHsm('chaos-spec');
  });
  beforeEach(async () => {
    probe = new Probe(device);
    point = (await probe.start()).point as string;
  });
  afterEach(async () => {
    device.thaw();
    device.heal();
    await probe.stop();
  });
  afterAll(() => device.remove());

  function valid(signature: unknown): boolean {
    // CKA_EC_POINT is an OCTET STRING around the point; what precedes it is the fixed SubjectPublicKeyInfo head of P-256.
    const spki = Buffer.concat([
      Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex'),
      Buffer.from(point, 'hex').subarray(2),
    ]);
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    return verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature as string, 'hex'));
  }

  test('left alone, it is the token behind it', async () => {
    const before = device.calls('C_Sign');
    expect(valid((await probe.sign()).signature)).toBe(true);
    expect(device.calls('C_Sign')).toBe(before + 1);
  });

  test('fails a function after some calls, some times, with any return value', async () => {
    device.fail('C_GenerateRandom', 'CKR_DEVICE_ERROR', { after: 1, times: 2 });
    const answers = [];
    for (let call = 0; call < 4; call++) answers.push((await probe.ask({ do: 'random' })).error);
    expect(answers).toEqual([undefined, 'CKR_DEVICE_ERROR', 'CKR_DEVICE_ERROR', undefined]);

    device.fail('C_GenerateRandom', 0x8000_0063, { times: 1 });
    expect((await probe.ask({ do: 'random' })).code).toBe(0x8000_0063);
  });

  test('a failed C_Sign leaves its session poisoned, as a real fault between SignInit and Sign does', async () => {
    device.fail('C_Sign', 'CKR_FUNCTION_FAILED', { times: 1 });
    expect((await probe.sign()).error).toBe('CKR_FUNCTION_FAILED');
    expect((await probe.sign()).error).toBe('CKR_OPERATION_ACTIVE');
  });

  test('is slow', async () => {
    device.delay('C_Sign', 150);
    const start = performance.now();
    expect(valid((await probe.sign()).signature)).toBe(true);
    expect(performance.now() - start).toBeGreaterThanOrEqual(150);
  });

  test('throttles', async () => {
    device.throttle('C_GenerateRandom', 20);
    const answers = [];
    for (let call = 0; call < 20; call++) answers.push((await probe.ask({ do: 'random' })).error);
    expect(answers.slice(0, 2)).toEqual([undefined, undefined]);
    expect(answers).toContain('CKR_FUNCTION_FAILED');
  });

  test.each([
    ['one function', () => device.freeze('C_Sign'), () => device.heal('C_Sign')],
    ['the whole device', () => device.freeze(), () => device.thaw()],
  ])('freezes %s until released', async (_name, freeze, release) => {
    freeze();
    const pending = probe.sign();
    const winner = await Promise.race([pending, new Promise((resolve) => setTimeout(resolve, 200, 'nothing'))]);
    expect(winner).toBe('nothing');
    release();
    expect(valid((await pending).signature)).toBe(true);
  });

  test('signs wrongly', async () => {
    device.corrupt('C_Sign', { times: 1 });
    expect(valid((await probe.sign()).signature)).toBe(false);
    expect(valid((await probe.sign()).signature)).toBe(true);
  });

  test.each([
    ['abort', 'SIGABRT'],
    ['segmentation fault', 'SIGSEGV'],
  ] as const)('takes its process down by %s', async (how, signal) => {
    device.crash('C_Sign', how, { times: 1 });
    const exited = once(probe.process, 'exit');
    expect(await probe.sign()).toEqual({ ended: true });
    expect((await exited)[1]).toBe(signal);
  });

  test('restarted, it is dead until finalized and initialized again', async () => {
    device.restart();
    expect((await probe.sign()).error).toBe('CKR_DEVICE_ERROR');
    expect((await probe.sign()).error).toBe('CKR_DEVICE_ERROR');
    await probe.ask({ do: 'finalize' });
    point = (await probe.start()).point as string;
    expect(valid((await probe.sign()).signature)).toBe(true);
  });

  test('touches no token that was not made for it', async () => {
    const another = new TestToken('chaos-other');
    const strange = new VirtualHsm('chaos-strange');
    const confOfAnother = `directories.tokendir = ${another.directory}/tokens\n`;
    for (const conf of [another.softHsmConf, strange.token.softHsmConf]) {
      if (conf === strange.token.softHsmConf) writeFileSync(conf, confOfAnother);
      const stranger = new Probe(strange, { SOFTHSM2_CONF: conf });
      expect(await stranger.start()).not.toHaveProperty('point');
      await stranger.stop();
    }
    strange.remove();
    another.remove();
  });

  test('switched off, it has no slots for who initialises meanwhile, even once it is back', async () => {
    device.powerOff();
    expect((await probe.ask({ do: 'random' })).error).toBe('CKR_DEVICE_ERROR');
    await probe.ask({ do: 'finalize' });
    expect(await probe.ask({ do: 'slots' })).toEqual({ slots: 0 });
    device.powerOn();
    expect((await probe.ask({ do: 'random' })).error).toBe('CKR_DEVICE_ERROR');
    await probe.ask({ do: 'finalize' });
    expect(await probe.ask({ do: 'slots' })).toEqual({ slots: 2 });
  });
});
