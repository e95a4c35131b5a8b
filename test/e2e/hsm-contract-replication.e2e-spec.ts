/** A key leaves the agent that made it, once, and arrives on members: exportKey and importKey, on two tokens. */
import { generateKeyPairSync, type KeyObject, randomBytes, verify } from 'node:crypto';
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { fingerprint, type KeyAlgorithm, type KeyDescription, type KeyId, type KeyUsage } from '@nest-hsm/hsm';
import type { Answer, KeyTransfer, NewKey, Recipient, Request } from '../../libs/hsm/src/agent/protocol.js';
import { VirtualHsm } from '../chaos/virtual-hsm.js';
import { AgentUnderTest, auditSettings } from '../support/agent-under-test.js';
import { rawObjects } from '../support/raw-token.js';
import { TestToken } from '../support/token.js';

const newId = () => randomBytes(16).toString('hex') as KeyId;
const oaep = 'rsa-oaep-sha1';

/** A token, its agent, and its member key. */
interface Member {
  readonly agent: AgentUnderTest;
  readonly token: TestToken;
  readonly memberKey: KeyDescription;
}

async function member(agent: AgentUnderTest, token: TestToken): Promise<Member> {
  const terms = { label: 'nest-hsm-member', algorithm: 'rsa-3072', usage: 'unwrap', extractable: false } as const;
  return { agent, token, memberKey: await agent.call('generateKey', { ...terms, id: newId() }) };
}

let a: Member;
let b: Member;
beforeAll(async () => {
  const tokens = [new TestToken('member-a'), new TestToken('member-b')];
  a = await member(await AgentUnderTest.loggedIn(tokens[0], { audit: auditSettings(tokens[0]) }), tokens[0]);
  b = await member(await AgentUnderTest.loggedIn(tokens[1]), tokens[1]);
});
afterAll(() => {
  AgentUnderTest.killAll();
  for (const { token } of [a, b]) token.remove();
});

type Kind = Omit<NewKey, 'id' | 'label' | 'extractable'>;
const kek: Kind = { algorithm: 'aes-256', usage: 'encrypt' };
const macKey: Kind = { algorithm: 'hmac-sha256', usage: 'mac' };
const signing = (algorithm: KeyAlgorithm): Kind => ({ algorithm, usage: 'sign' });

const pending = (on: Member, kind: Kind, label = `pending-${kind.algorithm}`) =>
  on.agent.call('generateKey', { ...kind, id: newId(), label, extractable: true });
const to = (...members: readonly Member[]): Recipient[] =>
  members.map(({ memberKey }) => ({ spki: memberKey.spki as Buffer, algorithm: oaep }));
const exported = (from: Member, key: KeyDescription, recipients: readonly Recipient[]) =>
  from.agent.call('exportKey', { keyId: key.id, recipients });

function imported(
  on: Member,
  original: KeyDescription,
  { checkValue }: Answer<'exportKey'>,
  { transport, wrapped }: KeyTransfer,
  changes: Partial<Request<'importKey'>> = {},
): Promise<KeyDescription> {
  const { algorithm, usage, spki } = original;
  const key = { id: newId(), label: `imported-${algorithm}`, algorithm, usage, extractable: false };
  const request = {
    unwrappingKeyId: on.memberKey.id,
    algorithm: oaep,
    key,
    spki,
    checkValue,
    transport,
    wrapped,
  } as const;
  return on.agent.call('importKey', { ...request, ...changes });
}

/** What is on the token that is not as a sealed key should be. */
const loose = (token: TestToken) =>
  rawObjects(token).filter(
    (object) => object.EXTRACTABLE === true || object.SENSITIVE === false || object.MODIFIABLE !== false,
  );
const labels = (token: TestToken) =>
  rawObjects(token)
    .map(({ label }) => label)
    .sort();

describe('a key that is exported to two members', () => {
  const message = Buffer.from('signed by every member');
  const schemes = { 'ec-p256': 'ecdsa-sha256', 'ec-p521': 'ecdsa-sha512', 'rsa-2048': 'rsa-pss-sha256' } as const;

  test.each(['ec-p256', 'ec-p521', 'rsa-2048'] as const)('%s signs on both, for one public key', async (algorithm) => {
    const original = await pending(a, signing(algorithm));
    const answer = await exported(a, original, to(a, b));
    expect(answer.checkValue).toBeUndefined();
    expect(answer.transfers.map(({ transport }) => transport.length)).toEqual([384, 384]);
    expect(answer.transfers[0].wrapped).not.toEqual(answer.transfers[1].wrapped);
    const copies = [
      await imported(a, original, answer, answer.transfers[0]),
      await imported(b, original, answer, answer.transfers[1]),
    ];
    for (const [index, { agent }] of [a, b].entries()) {
      expect(copies[index]).toMatchObject({ algorithm, usage: 'sign', extractable: false, spki: original.spki });
      const terms = { input: 'message', format: 'der', verify: false, data: message } as const;
      const { signature } = await agent.call('sign', { ...terms, keyId: copies[index].id, scheme: schemes[algorithm] });
      expect(isSigned(original, schemes[algorithm], message, signature)).toBe(true);
    }
    expect([...loose(a.token), ...loose(b.token)]).toEqual([]);
  });

  test('a KEK encrypts on one and decrypts on the other', async () => {
    const original = await pending(a, kek);
    const answer = await exported(a, original, to(a, b));
    const onA = await imported(a, original, answer, answer.transfers[0]);
    const onB = await imported(b, original, answer, answer.transfers[1]);
    const [data, aad] = [randomBytes(32), Buffer.from('row 1')];
    const { envelope } = await a.agent.call('encrypt', { keyId: onA.id, aad, data });
    expect((await b.agent.call('decrypt', { keyId: onB.id, aad, envelope })).data).toEqual(data);
  });

  test('an HMAC key gives one MAC on both', async () => {
    const original = await pending(a, macKey);
    const answer = await exported(a, original, to(a, b));
    const onA = await imported(a, original, answer, answer.transfers[0]);
    const onB = await imported(b, original, answer, answer.transfers[1]);
    const data = randomBytes(100);
    const macs = [
      await a.agent.call('mac', { keyId: onA.id, data }),
      await b.agent.call('mac', { keyId: onB.id, data }),
    ];
    expect(macs[0]).toEqual(macs[1]);
  });

  test('is recorded with those it went to, before it goes', async () => {
    const original = await pending(a, macKey, 'recorded');
    const { transfers, checkValue } = await exported(a, original, to(b));
    // What was recorded before an intent is written with it.
    await pending(a, macKey, 'later');
    const text = readFileSync(join(auditSettings(a.token).directory, 'test.1.000001.jsonl'), 'utf8');
    const lines = text.split('\n').filter((line) => line.includes('"export"') && line.includes(original.id));
    const [intent, result] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    const recipients = [expect.stringMatching(/^[0-9a-f]{64}$/)];
    expect(intent).toMatchObject({ kind: 'intent', operation: 'export', recipients });
    expect(result).toMatchObject({ kind: 'result', result: 'ok', recipients });
    for (const bytes of [transfers[0].transport, transfers[0].wrapped, checkValue as Buffer]) {
      expect(text).not.toContain(bytes.toString('base64'));
      expect(text).not.toContain(bytes.toString('hex'));
    }
  });
});

describe('the export', () => {
  const refused = { code: 'ERR_HSM_ARGUMENT_INVALID', retryable: false };

  test('spends the key: a second one finds none', async () => {
    const original = await pending(a, kek);
    await exported(a, original, to(b));
    await expect(exported(a, original, to(b))).rejects.toMatchObject({ code: 'ERR_HSM_KEY_NOT_FOUND' });
    expect(await a.agent.call('findKeys', { id: original.id })).toEqual([]);
  });

  test('takes no key that is not pending', async () => {
    const sealed = await a.agent.call('generateKey', { ...kek, id: newId(), label: 'sealed', extractable: false });
    await expect(exported(a, sealed, to(b))).rejects.toMatchObject(refused);
    expect(await a.agent.call('findKeys', { id: sealed.id })).toHaveLength(1);
  });

  test('takes no key that moves keys', async () => {
    for (const kind of [
      { algorithm: 'aes-256', usage: 'wrap' },
      { algorithm: 'rsa-2048', usage: 'unwrap' },
    ] as const) {
      await expect(exported(a, await pending(a, kind), to(b))).rejects.toMatchObject(refused);
    }
  });

  test('of an Ed25519 key says that the token cannot wrap it', async () => {
    const original = await pending(a, signing('ed25519'));
    await expect(exported(a, original, to(b))).rejects.toMatchObject({
      code: 'ERR_HSM_MECHANISM_UNSUPPORTED',
      message: expect.stringContaining('stays on the token that made it'),
    });
  });

  test('by OAEP with SHA-256 is unsupported on SoftHSM', async () => {
    const recipients = to(b).map(({ spki }): Recipient => ({ spki, algorithm: 'rsa-oaep-sha256' }));
    await expect(exported(a, await pending(a, kek), recipients)).rejects.toMatchObject({
      code: 'ERR_HSM_MECHANISM_UNSUPPORTED',
    });
  });

  const der = (publicKey: KeyObject) => publicKey.export({ format: 'der', type: 'spki' });
  test.each<[string, () => Buffer]>([
    ['of 1024 bits', () => der(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey)],
    ['of an odd size', () => der(generateKeyPairSync('rsa', { modulusLength: 2056 }).publicKey)],
    ['with exponent 3', () => der(generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }).publicKey)],
    ['of another kind', () => der(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)],
    ['for PSS only', () => der(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey)],
    ['with bytes after it', () => Buffer.concat([b.memberKey.spki as Buffer, Buffer.alloc(1)])],
    ['that is none', () => randomBytes(300)],
    ['that is empty', () => Buffer.alloc(0)],
  ])('to a key %s is refused, and the key is still there', async (_name, spki) => {
    const original = await pending(a, kek);
    await expect(exported(a, original, [...to(b), { spki: spki(), algorithm: oaep }])).rejects.toMatchObject(refused);
    expect(await a.agent.call('findKeys', { id: original.id })).toHaveLength(1);
  });

  test('wants recipients, and not too many', async () => {
    const original = await pending(a, kek);
    for (const count of [0, 65]) {
      const recipients = Array.from({ length: count }, () => to(b)[0]);
      await expect(exported(a, original, recipients)).rejects.toMatchObject(refused);
    }
  });

  test('is what a policy must name', async () => {
    const policy = [{ label: 'narrow-*', operations: ['generate', 'find', 'wrap', 'unwrap', 'destroy'] }] as const;
    const narrow = { ...a, agent: await AgentUnderTest.loggedIn(a.token, { policy }) };
    const denied = { code: 'ERR_HSM_POLICY_DENIED' };
    const original = await pending(narrow, kek, 'narrow-kek');
    await expect(exported(narrow, original, to(b))).rejects.toMatchObject(denied);
    expect(await narrow.agent.call('findKeys', { id: original.id })).toHaveLength(1);
    const answer = await exported(b, await pending(b, kek), to(a));
    await expect(imported(narrow, original, answer, answer.transfers[0])).rejects.toMatchObject(denied);
  });
});

test('a key is passed on to nobody but those whom a policy names', async () => {
  const recipients = [fingerprint(a.memberKey.spki as Buffer)];
  const policy = [
    { label: '*', operations: ['find', 'unwrap'] },
    { label: '*', operations: ['export'], recipients },
  ] as const;
  const narrow = await AgentUnderTest.loggedIn(a.token, { policy });
  const key = { ...kek, id: newId(), label: 'passed on', extractable: false };
  const blobs = { transport: randomBytes(384), wrapped: randomBytes(40) };
  const terms = { unwrappingKeyId: a.memberKey.id, algorithm: oaep, key, ...blobs } as const;
  const passed = (...members: readonly Member[]) =>
    narrow.call('transferKey', { ...terms, recipients: to(...members) });
  for (const others of [[b], [a, b]])
    await expect(passed(...others)).rejects.toMatchObject({ code: 'ERR_HSM_POLICY_DENIED' });
  // Let through, and refused since it is no recovery key that would open it.
  await expect(passed(a)).rejects.toMatchObject({ code: 'ERR_HSM_ARGUMENT_INVALID' });
});

describe('the import refuses, and leaves nothing of,', () => {
  const undecipherable = { code: 'ERR_HSM_DECRYPTION_FAILED' };
  const another = { code: 'ERR_HSM_KEY_UNSAFE' };
  const misfit = { code: 'ERR_HSM_ARGUMENT_INVALID' };

  /** Two keys of one kind, each exported to both members. */
  async function two(kind: Kind) {
    const originals = [await pending(a, kind), await pending(a, kind)];
    const answers = [await exported(a, originals[0], to(a, b)), await exported(a, originals[1], to(a, b))];
    return { original: originals[0], answer: answers[0], other: originals[1], otherAnswer: answers[1] };
  }
  type Two = Awaited<ReturnType<typeof two>>;
  interface Attempt {
    readonly transfer?: KeyTransfer;
    readonly changes?: Partial<Request<'importKey'>>;
  }
  const as = (algorithm: KeyAlgorithm, usage: KeyUsage, extractable = false): Attempt => ({
    changes: { key: { id: newId(), label: 'refused', algorithm, usage, extractable } },
  });
  const flipped = (bytes: Buffer, at: number) => {
    const copy = Buffer.from(bytes);
    copy[at] ^= 1;
    return copy;
  };

  const hostile: [string, Kind, (given: Two) => Attempt, object][] = [
    ['the transfer of another recipient', kek, ({ answer }) => ({ transfer: answer.transfers[0] }), undecipherable],
    ['the transport key of another recipient', kek, ({ answer: { transfers } }) => ({ transfer: { ...transfers[1], transport: transfers[0].transport } }), undecipherable],
    ['the wrapped key of another transfer', kek, ({ answer, otherAnswer }) => ({ transfer: { ...answer.transfers[1], wrapped: otherAnswer.transfers[1].wrapped } }), undecipherable],
    ['another KEK', kek, ({ otherAnswer }) => ({ transfer: otherAnswer.transfers[1] }), another],
    ['another HMAC key', macKey, ({ otherAnswer }) => ({ transfer: otherAnswer.transfers[1] }), another],
    ['another EC key', signing('ec-p256'), ({ otherAnswer }) => ({ transfer: otherAnswer.transfers[1] }), another],
    ['another RSA key', signing('rsa-2048'), ({ otherAnswer }) => ({ transfer: otherAnswer.transfers[1] }), another],
    ['the public half of another key', signing('ec-p256'), ({ other }) => ({ changes: { spki: other.spki } }), another],
    ['a KEK as an HMAC key', kek, () => as('hmac-sha256', 'mac'), another],
    ['a KEK as a transport key', kek, () => as('aes-256', 'wrap'), misfit],
    ['an HMAC key as a KEK', macKey, () => as('aes-256', 'encrypt'), another],
    ['an RSA key of another role', signing('rsa-2048'), () => as('rsa-2048', 'unwrap'), misfit],
    ['a key that would stay extractable', kek, () => as('aes-256', 'encrypt', true), misfit],
    ['a P-256 key as one of P-384', signing('ec-p256'), () => as('ec-p384', 'sign'), misfit],
    ['a private key without its public half', signing('rsa-2048'), () => ({ changes: { spki: undefined } }), misfit],
    ['a KEK without a check value', kek, () => ({ changes: { checkValue: undefined } }), misfit],
    ['a check value that was altered', kek, ({ answer }) => ({ changes: { checkValue: flipped(answer.checkValue as Buffer, 20) } }), another],
    ['a transport key that was altered', kek, ({ answer: { transfers } }) => ({ transfer: { ...transfers[1], transport: flipped(transfers[1].transport, 100) } }), undecipherable],
    ['a wrapped key that was altered', kek, ({ answer: { transfers } }) => ({ transfer: { ...transfers[1], wrapped: flipped(transfers[1].wrapped, 3) } }), undecipherable],
    ['a transport key that was truncated', kek, ({ answer: { transfers } }) => ({ transfer: { ...transfers[1], transport: transfers[1].transport.subarray(1) } }), undecipherable],
    ['a wrapped key that was truncated', signing('rsa-2048'), ({ answer: { transfers } }) => ({ transfer: { ...transfers[1], wrapped: transfers[1].wrapped.subarray(8) } }), undecipherable],
    ['nothing at all', kek, () => ({ transfer: { transport: Buffer.alloc(0), wrapped: Buffer.alloc(0) } }), undecipherable],
  ]; // prettier-ignore

  test.each(hostile)('%s', async (_name, kind, attempt, error) => {
    const given = await two(kind);
    const { transfer = given.answer.transfers[1], changes } = attempt(given);
    const before = labels(b.token);
    await expect(imported(b, given.original, given.answer, transfer, changes)).rejects.toMatchObject(error);
    expect(labels(b.token)).toEqual(before);
    // The agent is none the worse for it.
    await imported(b, given.original, given.answer, given.answer.transfers[1]);
  });

  test('an id that is in use', async () => {
    const { original, answer } = await two(kek);
    const first = await imported(b, original, answer, answer.transfers[1]);
    const again = imported(b, original, answer, answer.transfers[1], { key: first });
    await expect(again).rejects.toMatchObject(misfit);
    expect(await b.agent.call('findKeys', { id: first.id })).toHaveLength(1);
  });

  test('a member key that does not unwrap', async () => {
    const { original, answer } = await two(kek);
    const stranger = await b.agent.call('generateKey', {
      ...signing('rsa-3072'),
      id: newId(),
      label: 'stranger',
      extractable: false,
    });
    const attempt = imported(b, original, answer, answer.transfers[1], { unwrappingKeyId: stranger.id });
    await expect(attempt).rejects.toMatchObject(misfit);
  });
});

describe('a token that fails on the way', () => {
  let device: VirtualHsm;
  let agent: AgentUnderTest;
  let own: Member;
  beforeAll(async () => {
    device = new VirtualHsm('member-c');
    own = await member(await started(), device.token);
    ({ agent } = own);
  });
  afterEach(() => device.heal());
  afterAll(() => device.remove());

  function started(): Promise<AgentUnderTest> {
    return AgentUnderTest.loggedIn(device.token, { module: device.module }, device.moduleEnvironment);
  }

  const made = ['C_GenerateKey', 'C_CreateObject', 'C_UnwrapKey'] as const;
  const balance = () => made.reduce((sum, name) => sum + device.calls(name), 0) - device.calls('C_DestroyObject');

  test('has every object of the exchange destroyed when all goes well', async () => {
    const before = balance();
    const original = await pending(own, kek);
    const answer = await exported(own, original, to(own, b));
    expect(balance()).toBe(before);
    await imported(own, original, answer, answer.transfers[0]);
    expect(balance()).toBe(before + 1);
  });

  test.each([
    ['C_GenerateKey', 1],
    ['C_WrapKey', 0],
    ['C_CreateObject', 0],
    ['C_WrapKey', 1],
    ['C_WrapKey', 3],
    ['C_DestroyObject', 0],
    ['C_DestroyObject', 1],
  ] as const)('in %s, call %i, while it exports: the pending key is gone', async (name, after) => {
    device.fail(name, 'CKR_FUNCTION_FAILED', { after, times: 1 });
    const original = await pending(own, kek);
    await expect(exported(own, original, to(own, b))).rejects.toMatchObject({ returnValue: 'CKR_FUNCTION_FAILED' });
    device.heal();
    expect(await agent.call('findKeys', { id: original.id })).toEqual([]);
    expect(loose(device.token)).toEqual([]);
  });

  test.each([
    ['C_UnwrapKey', 0],
    ['C_UnwrapKey', 1],
    ['C_CreateObject', 0],
    ['C_Sign', 0],
    ['C_DestroyObject', 0],
  ] as const)('in %s, call %i, while it imports: the new key is gone', async (name, after) => {
    const original = await pending(own, signing('ec-p256'));
    const answer = await exported(own, original, to(own));
    const before = labels(device.token);
    device.fail(name, 'CKR_FUNCTION_FAILED', { after, times: 1 });
    await expect(imported(own, original, answer, answer.transfers[0])).rejects.toMatchObject({
      returnValue: 'CKR_FUNCTION_FAILED',
    });
    device.heal();
    expect(labels(device.token)).toEqual(before);
    await imported(own, original, answer, answer.transfers[0]);
  });

  test('with a signature that is wrong: the new key is gone', async () => {
    const original = await pending(own, signing('rsa-2048'));
    const answer = await exported(own, original, to(own));
    const before = labels(device.token);
    device.corrupt('C_Sign', { times: 1 });
    await expect(imported(own, original, answer, answer.transfers[0])).rejects.toMatchObject({
      code: 'ERR_HSM_KEY_UNSAFE',
    });
    expect(labels(device.token)).toEqual(before);
  });

  describe('and is killed there: nothing extractable is left', () => {
    test.each([
      ['exports', 'C_GenerateKey', 1],
      ['exports', 'C_WrapKey', 0],
      ['exports', 'C_WrapKey', 1],
      ['exports', 'C_WrapKey', 2],
      ['imports', 'C_UnwrapKey', 0],
      ['imports', 'C_UnwrapKey', 1],
      ['imports', 'C_Sign', 0],
    ] as const)('while it %s, in %s, call %i', async (what, name, after) => {
      const isExport = what === 'exports';
      const victim = { ...own, agent: await started() };
      const strike = () => device.freeze(name, { after, times: 1 });
      if (isExport && name === 'C_GenerateKey') strike();
      const original = await pending(victim, isExport ? kek : signing('ec-p256'));
      if (isExport && name !== 'C_GenerateKey') strike();
      const before = device.calls(name);
      const id = newId();
      if (isExport) {
        exported(victim, original, to(own, b)).catch(() => undefined);
        await reached(name, before, name === 'C_GenerateKey' ? 1 : after + 1);
      } else {
        const answer = await exported(victim, original, to(own));
        strike();
        const key = { id, label: 'half', algorithm: original.algorithm, usage: original.usage, extractable: false };
        imported(victim, original, answer, answer.transfers[0], { key }).catch(() => undefined);
        await reached(name, before, after + 1);
      }
      victim.agent.process.kill('SIGKILL');
      await victim.agent.exited;
      device.heal();

      expect(loose(device.token)).toEqual([]);
      // What became of an import is found by its id: all of it, or parts that are refused and destroyed.
      const left = rawObjects(device.token).filter((object) => object.id === id);
      if (left.length > 0) await agent.call('destroyKey', { keyId: id });
      expect(await agent.call('findKeys', { id })).toEqual([]);
    });

    async function reached(name: Parameters<VirtualHsm['calls']>[0], before: number, count: number): Promise<void> {
      while (device.calls(name) < before + count) await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });
});

function isSigned(key: KeyDescription, scheme: string, message: Buffer, signature: Buffer): boolean {
  const publicKey = { key: key.spki as Buffer, format: 'der', type: 'spki' } as const;
  if (scheme === 'rsa-pss-sha256') {
    return verify('sha256', message, { ...publicKey, padding: 6, saltLength: 32 }, signature);
  }
  return verify(scheme.replace('ecdsa-', ''), message, publicKey, signature);
}
