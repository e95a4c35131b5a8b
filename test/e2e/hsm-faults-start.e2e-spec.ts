/** What is wrong before the first call: module, token, PIN. One clear error each, naming what was found, and one PIN attempt. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Hsm, type HsmError, type HsmTokenMemberConfig } from '@nest-hsm/hsm';
import { VirtualHsm } from '../chaos/virtual-hsm.js';
import { FullDisk } from '../support/full-disk.js';
import { childrenOf } from '../support/processes.js';
import { type Overrides, softHsmModule } from '../support/token.js';

let device: VirtualHsm;
const opened: Hsm[] = [];

beforeEach(() => {
  device = new VirtualHsm('start');
});
afterEach(async () => {
  device.thaw();
  for (const hsm of opened.splice(0)) await hsm.close();
  device.remove();
  expect(childrenOf(process.pid)).toEqual([]);
});

async function open(overrides: Overrides = {}): Promise<Hsm> {
  const hsm = await Hsm.open(device.config(overrides));
  opened.push(hsm);
  return hsm;
}

describe('the PKCS#11 module', () => {
  test.each([
    ['is not there', '/nonexistent/module.so'],
    ['is not a shared object', '/etc/passwd'],
    ['is named by a relative path', 'libsofthsm2.so'],
  ])('%s', async (_name, module) => {
    await expect(open({ module })).rejects.toMatchObject({
      code: 'ERR_HSM_MODULE_UNUSABLE',
      fault: 'operator',
      message: expect.stringContaining(module),
    });
  });

  test('does not initialise', async () => {
    device.fail('C_Initialize', 'CKR_GENERAL_ERROR');
    await expect(open()).rejects.toMatchObject({ code: 'ERR_HSM_MODULE_UNUSABLE' });
  });

  test.each<[string, () => void]>([
    ['hangs while it starts', () => device.freeze('C_Initialize')],
    ['crashes while it starts', () => device.crash('C_GetSlotList', 'segmentation fault')],
    ['finds no token, since its device is away', () => device.powerOff()],
  ])('%s: the application starts, says so, and is served once that is over', async (_name, strike) => {
    strike();
    const hsm = await open({ startMilliseconds: 1_000 });
    const trouble = expect.objectContaining({ code: 'ERR_HSM_UNAVAILABLE', retryable: true });
    expect(hsm.members).toMatchObject([{ state: 'starting', trouble }]);
    await expect(hsm.random(8, { deadlineMilliseconds: 50 })).rejects.toMatchObject({ code: 'ERR_HSM_TIMEOUT' });
    device.heal();
    device.powerOn();
    expect(await hsm.random(8, { deadlineMilliseconds: 10_000 })).toHaveLength(8);
    expect(hsm.members).toMatchObject([{ state: 'serving', trouble: undefined }]);
  });
});

describe('the token', () => {
  test('is missing: the error names those that are there', async () => {
    await expect(open({ token: { label: 'another' } })).rejects.toMatchObject({
      code: 'ERR_HSM_TOKEN_NOT_FOUND',
      fault: 'operator',
      message: expect.stringMatching(/another[^]*start/),
    });
  });

  test('is ambiguous: the error names the serials, one of which chooses', async () => {
    device.token.addToken('start');
    const error = await open().catch((reason: Error) => reason as Error & { code: string });
    expect(error).toMatchObject({ code: 'ERR_HSM_TOKEN_AMBIGUOUS' });
    const serials = (error as Error).message.match(/\b[0-9a-f]{16}\b/g) ?? [];
    expect(new Set(serials).size).toBe(2);
    const chosen = await open({ token: { serial: serials[1] } });
    expect(chosen.members[0].token).toMatchObject({ label: 'start', serial: serials[1] });
  });

  test('is not initialised', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-empty-'));
    mkdirSync(join(directory, 'tokens'));
    const conf = join(directory, 'softhsm2.conf');
    writeFileSync(conf, `directories.tokendir = ${join(directory, 'tokens')}\n`);
    // Past the shim, which touches no token but its own.
    const strange = { module: softHsmModule(), moduleEnvironment: { SOFTHSM2_CONF: conf } };
    await expect(open(strange)).rejects.toMatchObject({ code: 'ERR_HSM_TOKEN_UNINITIALIZED' });
    rmSync(directory, { recursive: true });
  });

  test('is not recognised for a moment while another process starts on it', async () => {
    device.fail('C_GetTokenInfo', 'CKR_TOKEN_NOT_RECOGNIZED', { times: 1 });
    expect((await open()).members[0].token?.label).toBe('start');
  });
});

describe('the PIN', () => {
  test('is wrong: one attempt, and never again until it changes', async () => {
    writeFileSync(device.token.pinFile, 'wrong-pin');
    await expect(open()).rejects.toMatchObject({ code: 'ERR_HSM_PIN_INCORRECT', retryable: false });
    expect(device.calls('C_Login')).toBe(1);
    for (let again = 0; again < 3; again++) {
      await expect(open()).rejects.toMatchObject({ code: 'ERR_HSM_PIN_REFUSED_EARLIER' });
    }
    expect(device.calls('C_Login')).toBe(1);

    writeFileSync(device.token.pinFile, device.token.pin);
    const hsm = await open();
    expect(await hsm.random(8)).toHaveLength(8);
    expect(device.calls('C_Login')).toBe(2);
  });

  test('is wrong for several applications that start at once: one attempt between them', async () => {
    writeFileSync(device.token.pinFile, 'wrong-pin');
    const results = await Promise.allSettled(Array.from({ length: 4 }, () => open()));
    const codes = results.map((result) => (result.status === 'rejected' ? (result.reason as HsmError).code : 'opened'));
    expect(codes.sort()).toEqual(['ERR_HSM_PIN_INCORRECT', ...Array(3).fill('ERR_HSM_PIN_REFUSED_EARLIER')]);
    expect(device.calls('C_Login')).toBe(1);
  });

  test('is refused to a respawned agent: one attempt, and every call says so', async () => {
    const hsm = await open();
    device.fail('C_Login', 'CKR_PIN_INCORRECT');
    device.crash('C_GenerateRandom', 'abort', { times: 1 });
    await expect(hsm.random(8)).rejects.toMatchObject({ code: 'ERR_HSM_PIN_INCORRECT' });
    await expect(hsm.random(8)).rejects.toMatchObject({ code: 'ERR_HSM_PIN_INCORRECT' });
    expect(device.calls('C_Login')).toBe(2);
  });

  test('is locked', async () => {
    device.fail('C_Login', 'CKR_PIN_LOCKED');
    await expect(open()).rejects.toMatchObject({ code: 'ERR_HSM_PIN_LOCKED', returnValue: 'CKR_PIN_LOCKED' });
    expect(device.calls('C_Login')).toBe(1);
  });

  test.each<[string, () => HsmTokenMemberConfig['pin']]>([
    [
      'is in a file that others may read',
      () => (chmodSync(device.token.pinFile, 0o644), { file: device.token.pinFile }),
    ],
    ['is in a file that is not there', () => ({ file: '/nonexistent/pin' })],
    ['is in a directory', () => ({ file: device.token.directory })],
    ['is in an empty file', () => (writeFileSync(device.token.pinFile, ''), { file: device.token.pinFile })],
    ['comes from a program that fails', () => ({ command: ['/bin/false'] })],
    ['comes from a program that says nothing', () => ({ command: ['/bin/true'] })],
    ['comes from a program that is not there', () => ({ command: ['/nonexistent/program'] })],
    ['is in a variable that is not set', () => ({ environment: 'NEST_HSM_TEST_NO_SUCH_VARIABLE' })],
    ['comes from a function that throws', () => ({ callback: () => Promise.reject(new Error('vault sealed')) })],
  ])('%s: ERR_HSM_PIN_SOURCE, and the token is not asked', async (_name, pin) => {
    await expect(open({ pin: pin() })).rejects.toMatchObject({ code: 'ERR_HSM_PIN_SOURCE', fault: 'operator' });
    expect(device.calls('C_Login')).toBe(0);
  });

  test.each<[string, (pin: string) => HsmTokenMemberConfig['pin']]>([
    ['a program', (pin) => ({ command: ['/bin/echo', pin] })],
    ['a function', (pin) => ({ callback: () => pin })],
    ['a function that takes its time', (pin) => ({ callback: () => Promise.resolve(pin) })],
  ])('comes from %s', async (_name, pin) => {
    const hsm = await open({ pin: pin(device.token.pin) });
    expect(await hsm.random(8)).toHaveLength(8);
  });
});

const whereMountingIsAllowed = FullDisk.isPossible ? describe : describe.skip;
whereMountingIsAllowed('the state directory is on a full disk', () => {
  let disk: FullDisk;

  beforeEach(() => {
    disk = new FullDisk();
  });
  afterEach(async () => {
    for (const hsm of opened.splice(0)) await hsm.close();
    disk.remove();
  });

  const stateDirectory = () => join(disk.directory, 'state');

  test('when the application starts: one error that names it, and no attempt with a PIN that could not be recorded', async () => {
    disk.fill();
    const full = { code: 'ERR_HSM_UNAVAILABLE', message: expect.stringContaining(stateDirectory()), retryable: true };
    await expect(open({ stateDirectory: stateDirectory() })).rejects.toMatchObject(full);
    expect(device.calls('C_Login')).toBe(0);
  });

  test('when an agent is replaced: its calls wait until there is room', async () => {
    const hsm = await open({ stateDirectory: stateDirectory() });
    disk.fill();
    device.crash('C_GenerateRandom', 'abort', { times: 1 });
    const call = hsm.random(8, { deadlineMilliseconds: 30_000 });
    await pause(500);
    disk.empty();
    expect(await call).toHaveLength(8);
  });
});

test('several applications that start at once on one token all get it', async () => {
  const started = await Promise.all(Array.from({ length: 4 }, () => open()));
  for (const hsm of started) expect(await hsm.random(8)).toHaveLength(8);
});

test('a configuration with several faults lists them together', async () => {
  await expect(open({ name: 'Not A Name', sessions: 0, hangMilliseconds: -1 })).rejects.toMatchObject({
    code: 'ERR_HSM_CONFIG_INVALID',
    message: expect.stringMatching(/name[^]*hangMilliseconds|sessions/),
  });
});
