/** Keys on several tokens that do not copy them, over real agents that fail, are killed, or are orphaned half-way. */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  constants,
  createDecipheriv,
  createHmac,
  generateKeyPairSync,
  privateDecrypt,
  randomBytes,
  verify,
} from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Hsm, type HsmConfig, type KeyId, parseHsmConfig } from '@nest-hsm/hsm';
import { Fleet } from '../../libs/hsm/src/fleet/fleet.js';
import { enrol } from '../../libs/hsm/src/keyring/enrolment.js';
import { fleetMembers } from '../../libs/hsm/src/keyring/fleet-members.js';
import { Keyring } from '../../libs/hsm/src/keyring/keyring.js';
import type { ReplicationMember } from '../../libs/hsm/src/keyring/replication-member.js';
import { Replication, type ReplicationTerms } from '../../libs/hsm/src/keyring/replication.js';
import { requirePossession } from '../../libs/hsm/src/keyring/possession.js';
import { VirtualHsm } from '../chaos/virtual-hsm.js';
import { childrenOf, exists } from '../support/processes.js';
import { rawObjects } from '../support/raw-token.js';
import { TestToken } from '../support/token.js';

const newId = () => randomBytes(16).toString('hex') as KeyId;
const recoveryKey = generateKeyPairSync('rsa', { modulusLength: 3072 });
const recovery = [
  { spki: recoveryKey.publicKey.export({ format: 'der', type: 'spki' }), algorithm: 'rsa-oaep-sha1' as const },
];
const kinds = [
  { algorithm: 'ec-p256', usage: 'sign' },
  { algorithm: 'rsa-2048', usage: 'sign' },
  { algorithm: 'aes-256', usage: 'encrypt' },
  { algorithm: 'hmac-sha256', usage: 'mac' },
] as const;

let directory: string;
let device: VirtualHsm;
let other: TestToken;
let fleet: Fleet;
let keyring: Keyring;
let fingerprints: Record<string, string>;
let replication: Replication;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'nest-hsm-replication-'));
  device = new VirtualHsm('steered');
  other = new TestToken('other');
  fleet = await started();
  fingerprints = {};
  for (const member of fleetMembers(fleet)) fingerprints[member.name] = await enrol(member);
  device.snapshotToken();
});
beforeEach(async () => {
  keyring = await Keyring.open(join(directory, newId()));
  replication = replicationOf();
});
afterEach(() => device.heal());
afterAll(async () => {
  device.heal();
  await fleet.close();
  device.remove();
  other.remove();
  rmSync(directory, { recursive: true });
});

async function started(): Promise<Fleet> {
  const started = await Fleet.start(parseHsmConfig(config()));
  while (started.members.some(({ state }) => state !== 'serving')) await pause();
  return started;
}
const config = (pins: Record<string, string> = {}): HsmConfig => ({
  name: 'replicated',
  members: [
    { ...device.config().members[0], fingerprint: pins.steered },
    { ...other.member(), fingerprint: pins.other },
  ],
  stateDirectory: join(directory, 'state'),
  hangMilliseconds: 1_000,
});
const replicationOf = (terms: Partial<ReplicationTerms> = {}, pins = fingerprints, ring = keyring, of = fleet) =>
  new Replication(ring, () => pinned(of, pins), { quorum: () => 2, recovery, ...terms });

function pinned(of: Fleet, pins: Record<string, string>): ReplicationMember[] {
  return fleetMembers(of).map((member) => Object.defineProperty(member, 'fingerprint', { value: pins[member.name] }));
}
const pause = () => new Promise((resolve) => setTimeout(resolve, 10));

/** Objects on the tokens that carry the id, and those that no sealed key may look like. */
const objectsOf = (id: string) =>
  [...rawObjects(device.token), ...rawObjects(other)].filter((object) => object.id === id);
const loose = () =>
  [...rawObjects(device.token), ...rawObjects(other)].filter(
    (object) => object.EXTRACTABLE === true || object.SENSITIVE === false || object.MODIFIABLE !== false,
  );

describe('a key that is replicated', () => {
  test.each(kinds)('$algorithm is on both members, sealed, and works on each', async (kind) => {
    const record = await replication.replicate({ ...kind, id: newId(), label: `made-${kind.algorithm}` });
    expect(record).toMatchObject({ ...kind, state: 'sealed', members: ['steered', 'other'] });
    expect(record.original).toBeUndefined();
    expect(await keyring.read(record.id)).toEqual(record);
    for (const member of fleetMembers(fleet)) await requirePossession(member, record);
    expect(objectsOf(record.id)).toHaveLength(kind.usage === 'sign' ? 4 : 2);
    expect(loose()).toEqual([]);
    expect(await replication.resume()).toEqual([]);
  });

  test('is left to the recovery key in a form that opens into the key itself', async () => {
    const record = await replication.replicate({ ...kinds[3], id: newId(), label: 'recoverable' });
    const [{ transport, wrapped }] = record.recovery;
    const keyBytes = opened(Buffer.from(transport.bytes, 'base64'), Buffer.from(wrapped.bytes, 'base64'));
    const data = Buffer.from('a message');
    const [member] = fleetMembers(fleet);
    const { mac } = await member.call('mac', { keyId: record.id, data }, {});
    expect(createHmac('sha256', keyBytes).update(data).digest()).toEqual(mac);
    // Nothing that opens on a member is kept.
    expect(record.recovery).toHaveLength(1);
    expect(readFileSync(join(keyring.directory, `${record.id}.json`), 'utf8')).not.toContain(
      keyBytes.toString('base64'),
    );
  });
});

describe('a member', () => {
  const key = () => ({ ...kinds[2], id: newId(), label: 'refused' });

  test('that was enrolled before keeps its key', async () => {
    for (const member of fleetMembers(fleet)) expect(await enrol(member)).toBe(fingerprints[member.name]);
  });

  test('whose key is not the pinned one is sent nothing', async () => {
    const swapped = replicationOf({}, { ...fingerprints, other: 'ab'.repeat(32) });
    await expect(swapped.replicate(key())).rejects.toMatchObject({
      code: 'ERR_HSM_MEMBER_NOT_ENROLLED',
      member: 'other',
      message: expect.stringContaining(fingerprints.other),
    });
    expect(await keyring.list()).toEqual([]);
  });

  test('that was never enrolled does not count towards the quorum', async () => {
    const { steered } = fingerprints;
    const wanted = key();
    await expect(replicationOf({}, { steered }).replicate(wanted)).rejects.toMatchObject({
      code: 'ERR_HSM_KEY_NOT_REPLICATED',
      retryable: true,
    });
    expect(await keyring.list()).toEqual([]);
    const alone = await replicationOf({ quorum: () => 1 }, { steered }).replicate(wanted);
    expect(alone.members).toEqual(['steered']);
  });
});

test('an Ed25519 key is refused, with nothing left of it', async () => {
  const wanted = { algorithm: 'ed25519', usage: 'sign', id: newId(), label: 'edwards' } as const;
  await expect(replication.replicate(wanted)).rejects.toMatchObject({ code: 'ERR_HSM_MECHANISM_UNSUPPORTED' });
  expect(await keyring.list()).toEqual([]);
  expect(await fleet.call('findKeys', { label: 'edwards' }, {})).toEqual([]);
});

test('two at once make two keys', async () => {
  const made = await Promise.all(
    [1, 2].map((index) => replicationOf().replicate({ ...kinds[0], id: newId(), label: `twin-${index}` })),
  );
  expect(made.map(({ state }) => state)).toEqual(['sealed', 'sealed']);
  expect(await keyring.list()).toHaveLength(2);
});

describe('an Hsm of two tokens', () => {
  test('makes, finds, uses and destroys keys that are on both', async () => {
    const bare = { ...config(), name: 'whole', stateDirectory: join(directory, 'whole') };
    const first = await Hsm.open(bare);
    const enrolments = await first.enrolMembers();
    await first.close();
    const pins = Object.fromEntries(enrolments.map(({ member, fingerprint }) => [member, fingerprint]));
    expect(pins).toEqual(fingerprints);

    const publicKey = recoveryKey.publicKey.export({ format: 'pem', type: 'spki' }).toString();
    const wrapped = { mode: 'wrapped', keyring: keyring.directory, recoveryKeys: [{ publicKey }] } as const;
    const hsm = await Hsm.open({ ...bare, members: config(pins).members, replication: wrapped });
    try {
      const key = await hsm.generateKeyPair({ label: 'whole', algorithm: 'ec-p384' });
      expect(key.members).toEqual(['steered', 'other']);
      expect((await hsm.findKey(key.uri)).spki).toEqual(key.spki);
      const signatures = await Promise.all(
        Array.from({ length: 8 }, () => hsm.sign(key, 'ecdsa-sha384', Buffer.of(1))),
      );
      for (const signature of signatures)
        expect(verify('sha384', Buffer.of(1), key.publicKey ?? '', signature)).toBe(true);
      expect(await keyring.list()).toMatchObject([
        { id: key.id, state: 'sealed', recovery: [{ algorithm: 'rsa-oaep-sha1' }] },
      ]);
      // One in the making may still be undone: nobody gets it.
      const [record] = await keyring.list();
      for (const state of ['pending', 'replicated'] as const) {
        await keyring.write({ ...record, state });
        expect(await hsm.listKeys({ label: 'whole' })).toEqual([]);
        await expect(hsm.findKey(key.uri)).rejects.toMatchObject({ code: 'ERR_HSM_KEY_NOT_FOUND' });
      }
      await keyring.write(record);
      expect(await hsm.findKey({ label: 'whole' })).toMatchObject({ id: key.id });
      const { receipt } = await hsm.destroyKey(key);
      expect(receipt).toMatchObject({
        state: 'destroyed',
        members: [
          { found: 2, left: 0 },
          { found: 2, left: 0 },
        ],
      });
      expect(await keyring.list()).toMatchObject([{ label: 'nest-hsm-receipt' }]);
    } finally {
      await hsm.close();
    }
  });

  test('refuses to start on a keyring that is damaged', async () => {
    writeFileSync(join(keyring.directory, `${newId()}.json`), '{}', { mode: 0o600 });
    const opened = Hsm.open({
      ...{ ...config(), name: 'whole', stateDirectory: join(directory, 'whole') },
      replication: { mode: 'wrapped', keyring: keyring.directory },
    });
    await expect(opened).rejects.toMatchObject({ code: 'ERR_HSM_KEYRING_UNUSABLE' });
  });

  test.each([
    'none',
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'pem', type: 'spki' }).toString(),
  ])('takes no other recovery key than one of RSA', (publicKey) => {
    const replication = { mode: 'wrapped', keyring: 'keyring', recoveryKeys: [{ publicKey }] } as const;
    expect(() => parseHsmConfig({ ...config(), replication })).toThrow(/recoveryKeys/);
  });
});

describe('a member that fails: the key is on the others or nowhere', () => {
  test.each([
    ['C_GenerateKeyPair', 0],
    ['C_GenerateKey', 0],
    ['C_CreateObject', 0],
    ['C_WrapKey', 0],
    ['C_WrapKey', 3],
    ['C_DestroyObject', 0],
    ['C_UnwrapKey', 0],
    ['C_UnwrapKey', 1],
    ['C_Sign', 0],
    ['C_Sign', 1],
  ] as const)('in %s, call %i', async (name, after) => {
    const wanted = { ...kinds[0], id: newId(), label: 'failing' };
    // Probes sign too, and would use up a fault that strikes once.
    device.fail(name, 'CKR_FUNCTION_FAILED', name === 'C_Sign' ? { after } : { after, times: 1 });
    await expect(replication.replicate(wanted)).rejects.toMatchObject({ name: 'HsmError' });
    device.heal();
    await replication.resume();
    expect(await keyring.list()).toEqual([]);
    expect(objectsOf(wanted.id)).toEqual([]);
    expect(loose()).toEqual([]);
  });

  test.each([
    ['C_GenerateKeyPair', 0],
    ['C_WrapKey', 0],
    ['C_WrapKey', 2],
    ['C_UnwrapKey', 0],
    ['C_UnwrapKey', 1],
    ['C_Sign', 0],
    ['C_Sign', 1],
  ] as const)('killed in %s, call %i', async (name, after) => {
    const wanted = { ...kinds[0], id: newId(), label: 'killed' };
    device.crash(name, 'segmentation fault', { after, times: 1 });
    const outcome = await replication.replicate(wanted).catch((error: Error) => error);
    device.heal();
    while (fleet.members.some(({ state }) => state !== 'serving')) await pause();
    await replication.resume();
    const records = await keyring.list();
    if (outcome instanceof Error) {
      expect(records).toEqual([]);
      expect(objectsOf(wanted.id)).toEqual([]);
    } else {
      // An import whose agent was lost is made once more.
      expect(records).toEqual([outcome]);
      expect(objectsOf(wanted.id)).toHaveLength(4);
    }
    expect(loose()).toEqual([]);
  });
});

describe('an application that is killed -9 while a member is in', () => {
  const steps = [
    ['C_GenerateKeyPair', 0, 'gone', 'gone'],
    ['C_WrapKey', 0, 'gone', 'gone'],
    ['C_WrapKey', 3, 'gone', 'gone'],
    ['C_UnwrapKey', 0, 'sealed', 'gone'],
    ['C_UnwrapKey', 1, 'sealed', 'gone'],
    ['C_Sign', 0, 'sealed', 'sealed'],
    ['C_Sign', 1, 'sealed', 'sealed'],
  ] as const;

  // Its agents do what they were asked before they end.
  test.each(steps)('%s, call %i: the key is %s', (name, after, alone) => interrupted(name, after, false, alone));

  test.each(steps)('%s, call %i, with its agents: (%s alone) the key is %s', (name, after, _, together) =>
    interrupted(name, after, true, together),
  );

  async function interrupted(
    name: Parameters<VirtualHsm['freeze']>[0] & string,
    after: number,
    withAgents: boolean,
    what: 'gone' | 'sealed',
  ): Promise<void> {
    await fleet.close();
    // A process killed while it logs in may have left the token truncated, which is SoftHSM's fault.
    device.restoreToken();
    const wanted = { ...kinds[0], id: newId(), label: 'orphaned' };
    const before = device.calls(name);
    device.freeze(name, { after, times: 1 });
    const holder = hold(wanted);
    const exited = once(holder, 'exit');
    while (device.calls(name) < before + after + 1) await pause();
    const agents = childrenOf(holder.pid as number);
    // What the other member was asked meanwhile it has done: killed at it, SoftHSM may leave a file half written.
    const isAsked = name === 'C_UnwrapKey' || name === 'C_Sign';
    while (isAsked && rawObjects(other).filter(({ id }) => id === wanted.id).length < 2) await pause();
    await new Promise((resolve) => setTimeout(resolve, 300));
    for (const pid of [holder.pid as number, ...(withAgents ? agents : [])]) process.kill(pid, 'SIGKILL');
    await exited;
    device.heal();
    while (agents.some(exists)) await pause();

    fleet = await started();
    expect(await replicationOf().resume()).toEqual([]);
    const records = await keyring.list();
    expect(loose()).toEqual([]);
    if (what === 'gone') {
      expect(records).toEqual([]);
      expect(objectsOf(wanted.id)).toEqual([]);
    } else {
      expect(records).toMatchObject([{ id: wanted.id, state: 'sealed', members: ['steered', 'other'] }]);
      for (const member of fleetMembers(fleet)) await requirePossession(member, records[0]);
    }
    expect(readdirSync(keyring.directory).filter((each) => each.endsWith('.new'))).toEqual([]);
  }

  function hold(key: object): ChildProcess {
    const script = fileURLToPath(new URL('replication-holder.mjs', import.meta.url));
    const forHolder = recovery.map(({ spki, algorithm }) => ({ spki: spki.toString('base64'), algorithm }));
    const input = JSON.stringify({
      config: config(fingerprints),
      keyring: keyring.directory,
      recovery: forHolder,
      key,
    });
    return spawn(process.execPath, [script, input], { stdio: ['ignore', 'ignore', 'inherit'] });
  }
});

/** What an offline recovery token would do, with the private key in software. */
function opened(transport: Buffer, wrapped: Buffer): Buffer {
  const aes = privateDecrypt(
    { key: recoveryKey.privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
    transport,
  );
  const unwrap = createDecipheriv('id-aes256-wrap-pad', aes, Buffer.from('a65959a6', 'hex'));
  return Buffer.concat([unwrap.update(wrapped), unwrap.final()]);
}
