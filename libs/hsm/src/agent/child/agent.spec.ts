/** The built agent as a process of its own, on a SoftHSM token, with nothing but its protocol in between. */
import { execFileSync } from 'node:child_process';
import { randomBytes, verify } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AgentUnderTest } from '../../../../../test/support/agent-under-test.js';
import { importSecretKeys } from '../../../../../test/support/raw-token.js';
import { softHsmModule, TestToken } from '../../../../../test/support/token.js';
import type { KeyAlgorithm } from '../../algorithm/key-algorithm.js';
import type { HsmError } from '../../errors.js';
import type { KeyDescription, KeyId, KeyUsage } from '../../key/key.js';
import { FrameWriter } from '../frame.js';
import { writeRequest } from '../message.js';
import { protocolVersion } from '../protocol.js';

let token: TestToken;
beforeAll(() => {
  token = new TestToken('agent');
});
afterAll(() => token.remove());
afterEach(() => AgentUnderTest.killAll());

const newId = () => randomBytes(16).toString('hex') as KeyId;
const message = Buffer.from('what is signed');

function generate(
  agent: AgentUnderTest,
  algorithm: KeyAlgorithm,
  usage: KeyUsage,
  label = `${algorithm}-${usage}`,
): Promise<KeyDescription> {
  return agent.call('generateKey', { id: newId(), label, algorithm, usage, extractable: false });
}

function sign(agent: AgentUnderTest, key: KeyDescription, header = {}) {
  const request = { keyId: key.id, scheme: 'ecdsa-sha256', input: 'message', format: 'der', verify: false } as const;
  return agent.send('sign', { ...request, data: message }, header);
}

function isValid(key: KeyDescription, signature: Buffer): boolean {
  return verify('sha256', message, { key: key.spki as Buffer, format: 'der', type: 'spki' }, signature);
}

describe('the stream', () => {
  test('wants hello first', async () => {
    const agent = new AgentUnderTest(token);
    agent.send('ping', {}).answer.catch(() => undefined);
    expect(await agent.exited).toBe(0);
  });

  test('wants hello once', async () => {
    const agent = await AgentUnderTest.loggedIn(token);
    agent.hello().catch(() => undefined);
    expect(await agent.exited).toBe(0);
  });

  test('refuses another version of the protocol, saying so', async () => {
    const agent = new AgentUnderTest(token);
    await expect(agent.hello({}, protocolVersion + 1)).rejects.toMatchObject({
      code: 'ERR_HSM_PROTOCOL',
      message: expect.stringContaining(`want version ${protocolVersion}, got ${protocolVersion + 1}`),
    });
  });

  test('without settings is nobody’s', async () => {
    const agent = new AgentUnderTest(token);
    const hello = agent.call('hello', { version: protocolVersion, client: 'stranger' });
    await expect(hello).rejects.toMatchObject({ code: 'ERR_HSM_PROTOCOL' });
  });

  test.each([
    ['a verb that does not exist', Buffer.from([9, 0, 0, 0, 99, 1, 0, 0, 0, 0, 0, 0, 0])],
    ['a frame beyond every limit', Buffer.from([255, 255, 255, 127])],
    ['a truncated request', Buffer.from([6, 0, 0, 0, 3, 1, 0, 0, 0, 0])],
    ['noise', Buffer.concat([Buffer.from([60, 0, 0, 0, 0xee]), randomBytes(59)])],
  ])('ends at %s', async (_name, bytes) => {
    const agent = await AgentUnderTest.loggedIn(token);
    agent.stream.write(bytes);
    expect(await agent.exited).toBe(0);
  });

  test('ends at a second call under the id of one that is not answered yet', async () => {
    const agent = await AgentUnderTest.loggedIn(token);
    const twice = new FrameWriter();
    const header = {
      verb: 'random',
      requestId: 9,
      remainingMilliseconds: 1_000,
      attempt: 1,
      trafficClass: 'data',
      correlationId: '',
    } as const;
    for (const byteLength of [1, 2]) writeRequest(twice, header, { byteLength });
    agent.stream.write(twice.frames);
    expect(await agent.exited).toBe(0);
  });

  test('answers an argument that does not fit, and goes on', async () => {
    const agent = await AgentUnderTest.loggedIn(token);
    await expect(generate(agent, 'ec-p256', 'sign', 'x'.repeat(65))).rejects.toMatchObject({
      code: 'ERR_HSM_ARGUMENT_INVALID',
    });
    await expect(agent.call('ping', {})).resolves.toEqual({});
  });

  test('that closes gets the answers to what was sent, then the agent ends', async () => {
    const agent = await AgentUnderTest.loggedIn(token);
    const key = await generate(agent, 'ec-p256', 'sign');
    const answers = Array.from({ length: 50 }, () => sign(agent, key).answer);
    agent.stream.end();
    for (const { signature } of await Promise.all(answers)) expect(isValid(key, signature)).toBe(true);
    expect(await agent.exited).toBe(0);
  });

  test('whose client died ends the agent', async () => {
    const agent = await AgentUnderTest.loggedIn(token);
    agent.stream.destroy();
    expect(await agent.exited).toBe(0);
    expect(agent.output).toBe('');
  });
});

/** What was sent before has the token: requests that arrive together may overtake each other on their way there. */
async function reached(agent: AgentUnderTest): Promise<void> {
  await agent.call('ping', {});
}

describe('a request', () => {
  let agent: AgentUnderTest;
  let key: KeyDescription;
  beforeEach(async () => {
    agent = await AgentUnderTest.loggedIn(token, { sessions: 1 });
    key = await generate(agent, 'ec-p256', 'sign');
  });

  test('whose deadline has passed does not reach the token', async () => {
    await expect(sign(agent, key, { remainingMilliseconds: 0 }).answer).rejects.toMatchObject({
      code: 'ERR_HSM_TIMEOUT',
      retryable: true,
    });
  });

  test('whose deadline passes while it waits for a session does not either', async () => {
    const slow = generate(agent, 'rsa-3072', 'sign');
    await reached(agent);
    await expect(sign(agent, key, { remainingMilliseconds: 1 }).answer).rejects.toMatchObject({
      code: 'ERR_HSM_TIMEOUT',
    });
    await slow;
  });

  test('that is cancelled while it waits is dropped, one that is on the token is answered', async () => {
    const slow = agent.send('generateKey', {
      id: newId(),
      label: 'slow',
      algorithm: 'rsa-4096',
      usage: 'sign',
      extractable: false,
    });
    await reached(agent);
    const waiting = sign(agent, key);
    const dropped = expect(waiting.answer).rejects.toMatchObject({ code: 'ERR_HSM_ABORTED' });
    await agent.call('cancel', { requestId: waiting.requestId });
    await agent.call('cancel', { requestId: slow.requestId });
    await agent.call('cancel', { requestId: 4_000_000 });
    await dropped;
    expect((await slow.answer).algorithm).toBe('rsa-4096');
  });

  test('ping is answered while the token works', async () => {
    let isDone = false;
    const slow = generate(agent, 'rsa-3072', 'sign').then(() => (isDone = true));
    let pings = 0;
    while (!isDone && pings < 5) {
      await agent.call('ping', {});
      if (!isDone) pings++;
    }
    expect(pings).toBeGreaterThan(0);
    await slow;
  });

  test('under way when the agent is told to end is answered; later ones are refused', async () => {
    const slow = generate(agent, 'rsa-4096', 'sign');
    await agent.call('ping', {});
    agent.process.kill('SIGTERM');
    const late = await waitFor(() =>
      // Before the signal arrives it is too late, and answered at once.
      sign(agent, key, { remainingMilliseconds: 0 }).answer.then(
        () => undefined,
        (error: HsmError) => (error.code === 'ERR_HSM_TIMEOUT' ? undefined : error),
      ),
    );
    expect(late).toMatchObject({ code: 'ERR_HSM_UNAVAILABLE', retryable: true });
    expect((await slow).algorithm).toBe('rsa-4096');
    expect(await agent.exited).toBe(0);
  });

  test('Ctrl-C in the application’s terminal does not end its agent', async () => {
    agent.process.kill('SIGINT');
    expect(isValid(key, (await sign(agent, key).answer).signature)).toBe(true);
  });
});

describe('the start', () => {
  test('describes the token it found', async () => {
    const found = await new AgentUnderTest(token).hello();
    expect(found).toMatchObject({
      label: 'agent',
      manufacturer: 'SoftHSM project',
      vendor: 'softhsm',
      pinWarnings: [],
    });
    expect(found.mechanisms).toEqual(expect.arrayContaining(['ec-p256', 'rsa-pss-sha256', 'aes-kwp', 'rsa-oaep-sha1']));
    expect(found.mechanisms).not.toContain('rsa-oaep-sha256');
    expect(statSync(join(token.directory, 'state')).mode & 0o777).toBe(0o700);
  });

  test('finds the token by serial too', async () => {
    const { serial } = await new AgentUnderTest(token).hello();
    expect((await new AgentUnderTest(token).hello({ token: { serial } })).label).toBe('agent');
  });

  test.each([
    ['a path that is not absolute', 'libsofthsm2.so'],
    ['a file that is not there', '/no/such/module.so'],
    ['a file that is no library', '/etc/passwd'],
  ])('with %s is ERR_HSM_MODULE_UNUSABLE', async (_name, module) => {
    await expect(new AgentUnderTest(token).hello({ module })).rejects.toMatchObject({
      code: 'ERR_HSM_MODULE_UNUSABLE',
      message: expect.stringContaining(module),
    });
  });

  test('with a library that is no PKCS#11 module is too', async () => {
    const libc = execFileSync('ldd', [softHsmModule()], { encoding: 'utf8' }).match(/(\S*libc\.so\S*) \(/)?.[1];
    const hello = new AgentUnderTest(token).hello({ module: libc ?? '/lib/libc.so.6' });
    await expect(hello).rejects.toMatchObject({ code: 'ERR_HSM_MODULE_UNUSABLE' });
  });

  test('names the tokens there are when the one wanted is missing, doubled or empty', async () => {
    const other = new TestToken('one');
    try {
      await expect(new AgentUnderTest(other).hello({ token: { label: 'two' } })).rejects.toMatchObject({
        code: 'ERR_HSM_TOKEN_NOT_FOUND',
        message: expect.stringMatching(/labelled "two", got "one" \(serial [0-9a-f]{16}\)/),
      });
      other.addToken('one');
      await expect(new AgentUnderTest(other).hello()).rejects.toMatchObject({
        code: 'ERR_HSM_TOKEN_AMBIGUOUS',
        message: expect.stringMatching(/got 2 with serials [0-9a-f]{16}, [0-9a-f]{16}$/),
      });
      mkdirSync(join(other.directory, 'empty'));
      writeFileSync(other.softHsmConf, `directories.tokendir = ${join(other.directory, 'empty')}\n`);
      await expect(new AgentUnderTest(other).hello()).rejects.toMatchObject({ code: 'ERR_HSM_TOKEN_UNINITIALIZED' });
    } finally {
      other.remove();
    }
  });

  test('of eight agents at once succeeds for each', async () => {
    const agents = Array.from({ length: 8 }, () => new AgentUnderTest(token));
    const found = await Promise.all(agents.map((agent) => agent.hello()));
    expect(new Set(found.map(({ serial }) => serial)).size).toBe(1);
  });

  (process.platform === 'linux' ? test : test.skip)(
    'leaves the loop and the threads that call the token to interrupt nobody',
    async () => {
      const agent = await AgentUnderTest.loggedIn(token);
      const { pid } = agent.process;
      await sign(agent, await generate(agent, 'ec-p256', 'sign')).answer;
      const tasks = `/proc/${pid}/task`;
      const isBatch = (thread: string | number) => {
        // proc_pid_stat(5): what comes after the name in parentheses begins with field 3; field 41 is the policy, 3 is SCHED_BATCH.
        const fields = readFileSync(`${tasks}/${thread}/stat`, 'utf8').split(') ')[1].split(' ');
        return fields[41 - 3] === '3';
      };
      const callers = readdirSync(tasks).filter(
        (thread) => readFileSync(`${tasks}/${thread}/comm`, 'utf8') === 'token-call\n',
      );
      expect(callers.length).toBeGreaterThan(0);
      expect([pid as number, ...callers].map(isBatch)).toEqual([true, ...callers.map(() => true)]);
    },
  );
});

describe('a wrong PIN', () => {
  test('is tried once, remembered, and forgotten when it changes', async () => {
    const other = new TestToken('pin');
    const hello = () => new AgentUnderTest(other).hello();
    try {
      writeFileSync(other.pinFile, 'wrong-pin');
      await expect(hello()).rejects.toMatchObject({
        code: 'ERR_HSM_PIN_INCORRECT',
        returnValue: 'CKR_PIN_INCORRECT',
        retryable: false,
      });
      expect(pinCountIsLow(other)).toBe(true);
      // A login with the right PIN clears the token's flag, so that one more attempt would show.
      importSecretKeys(other, []);
      expect(pinCountIsLow(other)).toBe(false);
      for (let start = 0; start < 3; start++) {
        await expect(hello()).rejects.toMatchObject({ code: 'ERR_HSM_PIN_REFUSED_EARLIER', retryable: false });
      }
      expect(pinCountIsLow(other)).toBe(false);

      writeFileSync(other.pinFile, 'wrong-too');
      await expect(hello()).rejects.toMatchObject({ code: 'ERR_HSM_PIN_INCORRECT' });
      writeFileSync(other.pinFile, other.pin);
      expect((await hello()).label).toBe('pin');
    } finally {
      other.remove();
    }
  });

  test('appears in no error', async () => {
    const other = new TestToken('secret-pin');
    try {
      const error = await new AgentUnderTest(other).hello({ pin: { value: 'very-secret' } }).then(
        () => undefined,
        (reason: Error) => reason,
      );
      expect(error).toMatchObject({ code: 'ERR_HSM_PIN_INCORRECT' });
      expect(`${JSON.stringify(error)}${error?.message}`).not.toContain('very-secret');
    } finally {
      other.remove();
    }
  });
});

describe('policy', () => {
  test('narrows what the application may do, and the token is not asked about the rest', async () => {
    const owner = await AgentUnderTest.loggedIn(token);
    const allowed = await generate(owner, 'ec-p256', 'sign', 'policy-allowed');
    const hidden = await generate(owner, 'ec-p256', 'sign', 'policy-hidden');
    const policy = [
      { label: 'policy-allowed', operations: ['sign', 'find'], mechanisms: ['ecdsa-sha256'] },
      { label: 'policy-new-*', operations: ['generate'] },
    ] as const;
    const agent = await AgentUnderTest.loggedIn(token, { policy });
    expect(isValid(allowed, (await sign(agent, allowed).answer).signature)).toBe(true);
    expect((await agent.call('findKeys', {})).map(({ label }) => label)).toEqual(['policy-allowed']);
    expect((await generate(agent, 'aes-256', 'encrypt', 'policy-new-1')).label).toBe('policy-new-1');

    const denied = { code: 'ERR_HSM_POLICY_DENIED', retryable: false };
    const other = { ...allowed, scheme: 'ecdsa-sha384', input: 'message', format: 'der', verify: false } as const;
    await expect(sign(agent, hidden).answer).rejects.toMatchObject(denied);
    await expect(agent.call('sign', { ...other, keyId: allowed.id, data: message })).rejects.toMatchObject(denied);
    await expect(agent.call('findKeys', { label: 'policy-hidden' })).rejects.toMatchObject(denied);
    await expect(agent.call('destroyKey', { keyId: allowed.id })).rejects.toMatchObject(denied);
    await expect(generate(agent, 'ec-p256', 'sign', 'policy-other')).rejects.toMatchObject(denied);
    expect(await owner.call('findKeys', { label: 'policy-other' })).toEqual([]);
  });

  test('tells a client neither the ids nor the labels of keys that it may not see', async () => {
    const owner = await AgentUnderTest.loggedIn(token);
    for (let made = 0; made < 3; made++) await generate(owner, 'aes-256', 'encrypt', 'policy-seen');
    const hidden = [];
    for (let made = 0; made < 6; made++) hidden.push(await generate(owner, 'aes-256', 'encrypt', 'policy-unseen'));
    const agent = await AgentUnderTest.loggedIn(token, { policy: [{ label: 'policy-seen', operations: ['find'] }] });
    for (const verb of ['findKeys', 'inspectObjects'] as const) {
      const told: unknown[] = [];
      for (let after: string | undefined = ''; after !== undefined;) {
        const page: { readonly next?: string } = await agent.call(verb, { after, limit: 1 });
        told.push(page, page.next);
        after = page.next;
      }
      expect(told.length).toBeGreaterThanOrEqual(3);
      for (const { id } of hidden) expect(JSON.stringify(told)).not.toContain(id);
    }
    const [{ id: keyId }] = hidden;
    const denied = await agent.call('encrypt', { keyId, aad: Buffer.alloc(0), data: message }).catch(String);
    expect(denied).toMatch(/policy does not allow/);
    expect(denied).not.toContain('policy-unseen');
  });

  test('tells a client nothing of what is wrong with a key that it may not use', async () => {
    const id = newId();
    const kind = { type: 'CKK_AES', value: '11'.repeat(32), mechanisms: ['CKM_AES_GCM'] } as const;
    importSecretKeys(token, [{ ...kind, id, label: 'policy-unsafe', usage: ['ENCRYPT', 'DECRYPT', 'WRAP'] }]);
    const own = { label: 'policy-own', algorithm: 'aes-256', usage: 'encrypt', extractable: false } as const;
    const operations = ['find', 'encrypt', 'wrap', 'unwrap', 'export', 'import', 'generate'] as const;
    const agent = await AgentUnderTest.loggedIn(token, { policy: [{ label: 'policy-own', operations }] });
    const { id: ownId } = await generate(agent, 'aes-256', 'wrap', 'policy-own');
    const noBytes = Buffer.alloc(0);
    const unwrapping = { unwrappingKeyId: id, key: { ...own, id: newId() }, wrapped: noBytes };
    const calls = [
      agent.call('encrypt', { keyId: id, aad: noBytes, data: message }),
      agent.call('findKeys', { id }),
      agent.call('checkKey', { keyId: id }),
      agent.call('inspectObjects', { id }),
      agent.call('wrapKey', { keyId: id, wrappingKeyId: ownId, algorithm: 'aes-kwp' }),
      agent.call('wrapKey', { keyId: ownId, wrappingKeyId: id, algorithm: 'aes-kwp' }),
      agent.call('exportKey', { keyId: id, recipients: [] }),
      agent.call('unwrapKey', { ...unwrapping, algorithm: 'aes-kwp' }),
      agent.call('importKey', { ...unwrapping, algorithm: 'rsa-oaep-sha1', transport: noBytes }),
    ];
    const answers = await Promise.all(calls.map((call) => call.then(JSON.stringify, String)));
    for (const answer of answers) expect(answer).toMatch(/policy does not allow this client/);
    expect(answers.join()).not.toMatch(/policy-unsafe|CKA_/);
    const owner = await AgentUnderTest.loggedIn(token);
    await expect(owner.call('checkKey', { keyId: id })).rejects.toThrow(/policy-unsafe.*CKA_WRAP/);
    await owner.call('destroyKey', { keyId: id });
  });

  test('does not let a key be destroyed by way of its copy under another label', async () => {
    const owner = await AgentUnderTest.loggedIn(token);
    const wrapping = await generate(owner, 'aes-256', 'wrap');
    const kind = { algorithm: 'rsa-2048', usage: 'sign' } as const;
    const original = await owner.call('generateKey', { ...kind, id: newId(), label: 'original', extractable: true });
    const wrapRequest = { keyId: original.id, wrappingKeyId: wrapping.id, algorithm: 'aes-kwp' } as const;
    const { wrapped } = await owner.call('wrapKey', wrapRequest);
    const copy = (label: string) =>
      owner.call('unwrapKey', {
        unwrappingKeyId: wrapping.id,
        algorithm: 'aes-kwp',
        key: { ...kind, id: newId(), label, extractable: false },
        wrapped,
      });
    const [own, protectedKey] = [await copy('policy-own'), await copy('policy-protected')];

    const agent = await AgentUnderTest.loggedIn(token, { policy: [{ label: 'policy-own', operations: ['destroy'] }] });
    const destroyed = agent.call('destroyKey', { keyId: own.id });
    await expect(destroyed).rejects.toMatchObject({ code: 'ERR_HSM_POLICY_DENIED' });
    for (const { id } of [own, protectedKey]) expect(await owner.call('findKeys', { id })).toHaveLength(1);
  });
});

describe('a key that another program made', () => {
  test.each<[string, Partial<Parameters<typeof importSecretKeys>[1][number]>, RegExp]>([
    ['may wrap besides', { usage: ['ENCRYPT', 'DECRYPT', 'WRAP'] }, /CKA_WRAP: want false, got true/],
    ['may use ECB', { mechanisms: ['CKM_AES_GCM', 'CKM_AES_ECB'] }, /CKA_ALLOWED_MECHANISMS/],
    ['has 128 bits', { value: '00'.repeat(16) }, /key lengths/],
  ])('and that %s is refused by name', async (name, difference, message_) => {
    const id = newId();
    const sound = {
      type: 'CKK_AES',
      value: '11'.repeat(32),
      usage: ['ENCRYPT', 'DECRYPT'],
      mechanisms: ['CKM_AES_GCM'],
    } as const;
    importSecretKeys(token, [{ ...sound, id, label: name, ...difference }]);
    const agent = await AgentUnderTest.loggedIn(token);
    const unsafe = { code: 'ERR_HSM_KEY_UNSAFE', message: expect.stringMatching(message_) };
    await expect(agent.call('findKeys', { id })).rejects.toMatchObject(unsafe);
    const encrypt = agent.call('encrypt', { keyId: id, aad: Buffer.alloc(0), data: message });
    await expect(encrypt).rejects.toMatchObject(unsafe);
    expect(await agent.call('destroyKey', { keyId: id })).toEqual({ destroyedObjects: 1 });
  });
});

describe('a key pair that is on the token twice', () => {
  test.each([
    ['rsa-2048', false],
    ['ec-p256', true],
  ] as const)('%s: destroying one destroys the other', async (algorithm, wantsSpki) => {
    const agent = await AgentUnderTest.loggedIn(token);
    const wrapping = await generate(agent, 'aes-256', 'wrap');
    const original = await agent.call('generateKey', {
      id: newId(),
      label: `original-${algorithm}`,
      algorithm,
      usage: 'sign',
      extractable: true,
    });
    const wrapRequest = { keyId: original.id, wrappingKeyId: wrapping.id, algorithm: 'aes-kwp' } as const;
    const { wrapped } = await agent.call('wrapKey', wrapRequest);
    const unwrap = (label: string, spki?: Buffer) =>
      agent.call('unwrapKey', {
        unwrappingKeyId: wrapping.id,
        algorithm: 'aes-kwp',
        key: { id: newId(), label, algorithm, usage: 'sign', extractable: false },
        spki,
        wrapped,
      });
    const spki = wantsSpki ? original.spki : undefined;
    const [one, other] = [await unwrap('one', spki), await unwrap('other', spki)];
    expect(other.spki).toEqual(original.spki);
    // The original that was made to be wrapped goes alone.
    expect(await agent.call('destroyKey', { keyId: original.id })).toEqual({ destroyedObjects: 2 });
    expect(await agent.call('findKeys', { id: one.id })).toHaveLength(1);
    const stranger = await generate(agent, algorithm, 'sign', 'stranger');
    await expect(unwrap('third', stranger.spki)).rejects.toMatchObject({ code: 'ERR_HSM_KEY_UNSAFE' });
    expect(await agent.call('findKeys', { label: 'third' })).toEqual([]);

    expect(await agent.call('destroyKey', { keyId: one.id })).toEqual({ destroyedObjects: 4 });
    expect(await agent.call('findKeys', { id: other.id })).toEqual([]);
    expect(await agent.call('findKeys', { id: stranger.id })).toHaveLength(1);
  });
});

/** CKF_USER_PIN_COUNT_LOW: SoftHSM's record of a wrong PIN since the last right one. */
function pinCountIsLow(other: TestToken): boolean {
  const script = `
    const pkcs11js = require('pkcs11js');
    const module = new pkcs11js.PKCS11();
    module.load(process.argv[1]);
    module.C_Initialize();
    const flags = module.C_GetSlotList(true).map((slot) => module.C_GetTokenInfo(slot))
      .find(({ label }) => label.trim() === process.argv[2]).flags;
    console.log((flags & pkcs11js.CKF_USER_PIN_COUNT_LOW) !== 0);`;
  const env = { ...process.env, SOFTHSM2_CONF: other.softHsmConf };
  return (
    execFileSync(process.execPath, ['-e', script, softHsmModule(), other.label], { env, encoding: 'utf8' }).trim() ===
    'true'
  );
}

async function waitFor<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const result = await attempt();
    if (result !== undefined) return result;
  }
}
