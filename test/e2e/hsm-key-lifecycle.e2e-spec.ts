/** Keys of a fleet whose tokens do not copy them: compared, followed by new versions, destroyed with proof. */
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes, verify } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Hsm, type HsmKey, type KeyId, type SignedReceipt, verifyReceipt } from '@nest-hsm/hsm';
import { VirtualHsm } from '../chaos/virtual-hsm.js';
import { eventually } from '../support/eventually.js';
import { KeyringFleet, TestRecoveryToken } from '../support/keyring-fleet.js';
import { childrenOf } from '../support/processes.js';
import { destroyObjects, importSecretKeys, rawObjects } from '../support/raw-token.js';

const message = Buffer.from('of which the key is gone');

let devices: VirtualHsm[];
let recovery: TestRecoveryToken;
let fleet: KeyringFleet;
let hsm: Hsm;

beforeAll(async () => {
  devices = [new VirtualHsm('life-a'), new VirtualHsm('life-b')];
  recovery = await TestRecoveryToken.made();
  fleet = new KeyringFleet({ a: devices[0], b: devices[1] }, [recovery], 'life');
  await fleet.enrol();
  hsm = await open();
});
afterEach(async () => {
  for (const device of devices) device.heal();
  await serving(hsm);
});
afterAll(async () => {
  await hsm.close();
  for (const device of devices) device.remove();
  recovery.token.remove();
  fleet.remove();
  expect(childrenOf(process.pid)).toEqual([]);
});

const config = () => fleet.config(undefined, { hangMilliseconds: 1_000, deadlineMilliseconds: 4_000 });

async function open(): Promise<Hsm> {
  const opened = await Hsm.open(config());
  await serving(opened);
  return opened;
}

function serving(opened: Hsm): Promise<void> {
  return eventually(
    () => opened.members.every(({ state }) => state === 'serving'),
    () => opened.members,
  );
}

const objectsOf = (id: string) => devices.map(({ token }) => rawObjects(token).filter((each) => each.id === id).length);
const pair = (label: string) => hsm.generateKeyPair({ label, algorithm: 'ec-p256' });

async function receiptsOf(key: HsmKey, on = hsm): Promise<SignedReceipt[]> {
  return (await on.receipts()).filter(({ receipt }) => receipt.key.id === key.id);
}

/** Until the destruction is over, as whichever process is there sees it. */
async function destroyed(key: HsmKey, on = hsm): Promise<SignedReceipt> {
  for (;;) {
    const last = (await receiptsOf(key, on)).at(-1);
    if (last?.receipt.state === 'destroyed' && last.signature) return last;
    await pause(50);
  }
}

/** What openssl says of a receipt and the key that was pinned. */
async function opensslVerifies({ text, signature }: SignedReceipt, changed = text): Promise<string> {
  const [pem, json, sig] = ['receipt-key.pem', 'receipt.json', 'receipt.sig'].map((name) =>
    join(fleet.directory, name),
  );
  const { publicKey } = await hsm.receiptKey();
  writeFileSync(pem, publicKey?.export({ format: 'pem', type: 'spki' }) ?? '');
  writeFileSync(json, changed);
  writeFileSync(sig, signature ?? '');
  try {
    return execFileSync('openssl', ['dgst', '-sha256', '-verify', pem, '-signature', sig, json], { encoding: 'utf8' });
  } catch (error) {
    return String((error as { stdout: unknown }).stdout);
  }
}

describe('a destruction', () => {
  test('ends with a receipt that openssl verifies, and that no byte may be changed of', async () => {
    const key = await pair('proven');
    const signed = await hsm.destroyKey(key, { operator: 'Ada' });
    expect(signed.receipt).toMatchObject({
      state: 'destroyed',
      key: { id: key.id, label: 'proven', algorithm: 'ec-p256', fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/) },
      by: { client: 'application', operator: 'Ada' },
      members: ['a', 'b'].map((member) => ({ member, state: 'destroyed', found: 2, left: 0 })),
      backups: { knowledge: 'listed', restorable: [] },
    });
    expect(objectsOf(key.id)).toEqual([0, 0]);
    expect(await opensslVerifies(signed)).toBe('Verified OK\n');
    const changed = signed.text.replace('"found": 2', '"found": 3');
    expect(await opensslVerifies(signed, changed)).toMatch(/failure/i);
    const pem = (await hsm.receiptKey()).publicKey?.export({ format: 'pem', type: 'spki' }).toString() ?? '';
    expect(verifyReceipt(signed.text, signed.signature ?? Buffer.of(), pem)).toEqual(signed.receipt);
    expect(() => verifyReceipt(changed, signed.signature ?? Buffer.of(), pem)).toThrow(/want it signed by that key/);
  });

  test('of a key that is nowhere is none', async () => {
    const key = { ...(await pair('here')), id: randomBytes(16).toString('hex') as KeyId, spki: undefined };
    await expect(hsm.destroyKey(key)).rejects.toMatchObject({ code: 'ERR_HSM_KEY_NOT_FOUND' });
    expect(await receiptsOf(key)).toEqual([]);
  });

  test('on a member that freezes half-way says pending, and goes on when it is back', async () => {
    const key = await pair('frozen');
    devices[1].freeze('C_DestroyObject', { after: 1 });
    const pending = await hsm.destroyKey(key, { deadlineMilliseconds: 2_500 });
    expect(pending.receipt).toMatchObject({ state: 'pending', members: [{ state: 'destroyed' }, { member: 'b' }] });
    expect(pending.receipt.members[1].state).not.toBe('destroyed');
    expect(await opensslVerifies(pending)).toBe('Verified OK\n');
    devices[1].heal();
    const { receipt } = await destroyed(key);
    expect(receipt.members).toMatchObject([
      { found: 2, left: 0 },
      { found: 2, left: 0 },
    ]);
    const digest = execFileSync('openssl', ['dgst', '-sha256', '-r'], { input: pending.text, encoding: 'utf8' });
    expect(receipt.previous).toBe(digest.slice(0, 64));
    expect(objectsOf(key.id)).toEqual([0, 0]);
  });

  test('makes the key useless at once, to other processes and wherever it still is', async () => {
    const key = await pair('useless');
    const other = await open();
    try {
      devices[1].powerOff();
      expect((await hsm.destroyKey(key, { deadlineMilliseconds: 800 })).receipt.state).toBe('pending');
      devices[1].powerOn();
      const gone = { code: 'ERR_HSM_KEY_NOT_FOUND' };
      for (const each of [hsm, other]) {
        await expect(each.sign(key, 'ecdsa-sha256', message)).rejects.toMatchObject(gone);
        await expect(each.findKey(key.uri)).rejects.toMatchObject(gone);
      }
      await destroyed(key, other);
    } finally {
      await other.close();
    }
  });

  test('is gone on with by the next process when this one was killed in the middle of it', async () => {
    const key = await pair('orphaned');
    await hsm.close();
    devices[1].freeze('C_DestroyObject');
    const holder = fileURLToPath(new URL('destruction-holder.mjs', import.meta.url));
    const input = JSON.stringify({ config: { ...config(), hangMilliseconds: 60_000 }, label: 'orphaned' });
    const killed = spawn(process.execPath, [holder, input], { stdio: ['ignore', 'ignore', 'inherit'] });
    while (objectsOf(key.id)[0] > 0) await pause(50);
    const agents = childrenOf(killed.pid ?? 0);
    killed.kill('SIGKILL');
    await once(killed, 'exit');
    for (const pid of agents) process.kill(pid, 'SIGKILL');
    devices[1].heal();
    hsm = await open();
    await expect(hsm.sign(key, 'ecdsa-sha256', message)).rejects.toMatchObject({ code: 'ERR_HSM_KEY_NOT_FOUND' });
    expect((await destroyed(key)).receipt.members).toMatchObject([{ left: 0 }, { found: 2, left: 0 }]);
    expect(objectsOf(key.id)).toEqual([0, 0]);
  });

  test('is pending while a backup could give the key back', async () => {
    const key = await pair('backed-up');
    const { number } = await hsm.custody.createBackup(join(fleet.directory, 'backup'));
    const { receipt } = await hsm.destroyKey(key);
    expect(receipt).toMatchObject({
      state: 'pending',
      members: [{ state: 'destroyed' }, { state: 'destroyed' }],
      backups: { restorable: [expect.stringMatching(new RegExp(`^backup ${number} of .*SHA-256`))] },
    });
    await hsm.custody.retireBackups(number + 1);
    expect((await hsm.destroyKey(key)).receipt).toMatchObject({ state: 'destroyed', backups: { restorable: [] } });
  });

  test('of a record that was altered is refused', async () => {
    const key = await pair('altered');
    await hsm.destroyKey(key);
    const path = join(fleet.keyring, 'destroyed', `${key.id}.json`);
    writeFileSync(path, readFileSync(path, 'utf8').slice(0, -20));
    await expect(hsm.destroyKey(key)).rejects.toMatchObject({ code: 'ERR_HSM_KEYRING_UNUSABLE' });
    writeFileSync(path, '{}');
    await expect(hsm.receipts()).rejects.toMatchObject({ code: 'ERR_HSM_KEYRING_UNUSABLE' });
    execFileSync('rm', [path]);
  });
});

describe('a key that is rotated', () => {
  test('signs with its newest version, and finds those before it', async () => {
    const first = await pair('rotated');
    const second = await hsm.rotateKey('rotated');
    expect([first.version, second.version]).toEqual([1, 2]);
    expect(second).toMatchObject({ algorithm: 'ec-p256', usage: 'sign', members: ['a', 'b'] });
    for (const way of [{ label: 'rotated' }, 'pkcs11:object=rotated'])
      expect((await hsm.findKey(way)).id).toBe(second.id);
    for (const way of [{ id: first.id }, first.uri, { label: 'rotated', version: 1 }]) {
      expect((await hsm.findKey(way)).id).toBe(first.id);
    }
    const signature = await hsm.sign(first, 'ecdsa-sha256', message);
    expect(verify('sha256', message, first.publicKey ?? '', signature)).toBe(true);
    await hsm.destroyKey(first);
    expect((await hsm.rotateKey('rotated')).version).toBe(3);
  });

  test('by several processes at once has one next version', async () => {
    const other = await open();
    try {
      await pair('raced');
      const made = await Promise.all([hsm, other, hsm].map((each) => each.rotateKey('raced')));
      expect(new Set(made.map(({ id, version }) => `${version} ${id}`)).size).toBe(1);
      expect(await hsm.listKeys({ label: 'raced' })).toHaveLength(2);
    } finally {
      await other.close();
    }
  });

  test('is usable at any moment, also when the next version comes onto too few members', async () => {
    const first = await pair('steady');
    devices[1].fail('C_UnwrapKey', 'CKR_DEVICE_MEMORY');
    let isOver = false;
    const user = (async () => {
      while (!isOver) await hsm.sign(await hsm.findKey({ label: 'steady' }), 'ecdsa-sha256', message);
    })();
    await expect(hsm.rotateKey('steady')).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_HSM_/) });
    expect((await hsm.findKey({ label: 'steady' })).id).toBe(first.id);
    devices[1].heal();
    expect((await hsm.rotateKey('steady')).version).toBeGreaterThan(1);
    isOver = true;
    await user;
  });

  test('comes onto a member whose token refuses to unwrap it once, as SoftHSM does while it signs', async () => {
    await pair('unlucky');
    // The first call unwraps the transport key.
    devices[1].fail('C_UnwrapKey', 'CKR_GENERAL_ERROR', { after: 1, times: 1 });
    const next = await hsm.rotateKey('unlucky');
    expect([next.version, objectsOf(next.id)]).toEqual([2, [2, 2]]);
  });

  test('is no excuse for two keys of one label that are no versions of each other', async () => {
    await pair('twice');
    await pair('twice');
    const ambiguous = { code: 'ERR_HSM_KEY_AMBIGUOUS' };
    await expect(hsm.findKey({ label: 'twice' })).rejects.toMatchObject(ambiguous);
    await expect(hsm.rotateKey('twice')).rejects.toMatchObject(ambiguous);
    await expect(hsm.rotateKey('nest-hsm-receipt')).rejects.toMatchObject({ code: 'ERR_HSM_ARGUMENT_INVALID' });
  });

  test('is one key when two processes made its first at once', async () => {
    const terms = { label: 'first', algorithm: 'aes-256', usage: 'encrypt', first: true } as const;
    const made = [await hsm.generateSecretKey(terms), await hsm.generateSecretKey(terms)];
    const found = await hsm.findKey({ label: 'first' });
    expect(made.map(({ id }) => id)).toContain(found.id);
    expect((await hsm.rotateKey('first')).version).toBe(2);
  });
});

describe('an audit', () => {
  const found = async () => (await hsm.checkConsistency()).findings.map(({ kind, key }) => [kind, key?.label]);
  const sound = { type: 'CKK_AES', usage: ['ENCRYPT', 'DECRYPT'], mechanisms: ['CKM_AES_GCM'] } as const;
  const value = () => randomBytes(32).toString('hex');
  const kek = (label: string) => hsm.generateSecretKey({ label, algorithm: 'aes-256', usage: 'encrypt' });

  test('finds nothing wrong with a fleet that is whole, and lists what others made', async () => {
    await hsm.generateSecretKey({ label: 'whole', algorithm: 'hmac-sha256', usage: 'mac' });
    await kek('whole-kek');
    importSecretKeys(devices[0].token, [{ ...sound, id: 'abcd', label: 'theirs', value: value() }]);
    const report = await hsm.checkConsistency();
    expect(report.findings).toEqual([]);
    expect(report.isConsistent).toBe(true);
    expect(report.foreign).toEqual([{ member: 'a', id: 'abcd', label: 'theirs', kind: 'secret' }]);
  });

  test('says what differs on which member, and how to mend it', async () => {
    const lost = await kek('lost');
    destroyObjects(devices[1].token, lost.id, 4);
    const swapped = await kek('swapped');
    destroyObjects(devices[1].token, swapped.id, 4);
    importSecretKeys(devices[1].token, [{ ...sound, id: swapped.id, label: 'swapped', value: value() }]);
    const doubled = await kek('doubled');
    importSecretKeys(devices[0].token, [{ ...sound, id: doubled.id, label: 'doubled', value: value() }]);
    const widened = await kek('widened');
    destroyObjects(devices[0].token, widened.id, 4);
    importSecretKeys(devices[0].token, [
      { ...sound, id: widened.id, label: 'widened', value: value(), usage: ['DECRYPT'] },
    ]);
    const halved = await pair('halved');
    destroyObjects(devices[0].token, halved.id, 2);
    const stray = lost.id.replace(/^.{8}/, '00000000');
    for (const { token } of devices) importSecretKeys(token, [{ ...sound, id: stray, label: 'stray', value: value() }]);

    const report = await hsm.checkConsistency();
    expect(report.isConsistent).toBe(false);
    const faults = report.findings.map(({ kind, members, key }) => [kind, key?.label, ...members]);
    expect(faults).toEqual(
      expect.arrayContaining([
        ['lost', 'lost', 'b'],
        ['differs', 'swapped', expect.any(String), 'b'],
        ['doubled', 'doubled', 'a'],
        ['attributes', 'widened', 'a'],
        ['halves', 'halved', 'a'],
        ['unrecorded', 'stray', 'a', 'b'],
      ]),
    );
    for (const { what, mend } of report.findings) expect([what, mend].every((text) => text.length > 10)).toBe(true);
    expect(JSON.stringify(report)).not.toMatch(/"value"/);
    for (const key of [lost, swapped, doubled, widened, halved]) await hsm.destroyKey(key);
    for (const { token } of devices) destroyObjects(token, stray, 4);
    expect(await found()).toEqual([]);
  });

  test('does not call consistent what it could not ask', async () => {
    devices[1].powerOff();
    const report = await hsm.checkConsistency({ deadlineMilliseconds: 600 });
    expect(report).toMatchObject({
      isConsistent: false,
      members: [{ member: 'a' }, { unreachable: expect.any(String) }],
    });
    expect(report.findings.filter(({ severity }) => severity === 'fault')).toEqual([]);
    devices[1].powerOn();
  });
});

test('a list is whole, however many keys there are', async () => {
  const sound = { type: 'CKK_AES', usage: ['ENCRYPT', 'DECRYPT'], mechanisms: ['CKM_AES_GCM'] } as const;
  const many = Array.from({ length: 260 }, (_, index) => {
    const [id, value] = [16, 32].map((bytes) => randomBytes(bytes).toString('hex'));
    return { ...sound, id, label: `many-${index}`, value };
  });
  importSecretKeys(devices[0].token, many);
  const ids = (await hsm.listKeys()).map(({ id }) => id as string);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids).toEqual(expect.arrayContaining(many.map(({ id }) => id)));
});
