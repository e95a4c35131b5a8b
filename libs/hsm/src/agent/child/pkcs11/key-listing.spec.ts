/** What an agent says of all that is on its token, page by page; over a built agent and a real token. */
import { randomBytes } from 'node:crypto';
import { VirtualHsm } from '../../../../../../test/chaos/virtual-hsm.js';
import { AgentUnderTest } from '../../../../../../test/support/agent-under-test.js';
import { importSecretKeys } from '../../../../../../test/support/raw-token.js';
import { TestToken } from '../../../../../../test/support/token.js';
import type { KeyAlgorithm } from '../../../algorithm/key-algorithm.js';
import type { KeyDescription, KeyId, KeyUsage } from '../../../key/key.js';

const newId = () => randomBytes(16).toString('hex') as KeyId;
const sound = { type: 'CKK_AES', usage: ['ENCRYPT', 'DECRYPT'], mechanisms: ['CKM_AES_GCM'] } as const;
const value = () => randomBytes(32).toString('hex');

let token: TestToken;
let agent: AgentUnderTest;
beforeAll(async () => {
  token = new TestToken('listing');
  agent = await AgentUnderTest.loggedIn(token);
});
afterAll(() => {
  AgentUnderTest.killAll();
  token.remove();
});

const generate = (algorithm: KeyAlgorithm, usage: KeyUsage, label: string) =>
  agent.call('generateKey', { id: newId(), label, algorithm, usage, extractable: false });

describe('a list', () => {
  let keys: KeyDescription[];
  beforeAll(async () => {
    keys = [];
    for (let count = 0; count < 5; count++) keys.push(await generate('hmac-sha256', 'mac', 'paged'));
    importSecretKeys(token, [
      { ...sound, id: 'abcd', label: 'foreign', value: value() },
      { ...sound, id: newId(), label: 'unsafe', value: value(), usage: ['DECRYPT'] },
    ]);
  });
  const ids = (list: readonly { id: string }[]) => list.map(({ id }) => id);

  test.each([
    ['everything', {}],
    ['a label', { label: 'paged' }],
    ['a usage', { usage: 'mac' as const }],
  ])('of %s comes in pages, in the order of the ids', async (_, selector) => {
    const found: KeyDescription[] = [];
    let pages = 0;
    for (let after: string | undefined; ; pages++) {
      const page = await agent.call('findKeys', { ...selector, after, limit: 2 });
      found.push(...page);
      expect(page.length).toBeLessThanOrEqual(2);
      if (page.next === undefined) break;
      after = page.next;
    }
    expect(pages).toBeGreaterThan(1);
    expect(ids(found)).toEqual(ids(keys).sort());
  });

  test('goes on after the same id in another agent, and without what was destroyed meanwhile', async () => {
    const [first, second, third] = ids(keys).sort();
    const page = await agent.call('findKeys', { limit: 2 });
    expect([ids(page), page.next]).toEqual([[first, second], second]);
    await agent.call('destroyKey', { keyId: third as KeyId });
    const successor = await AgentUnderTest.loggedIn(token);
    for (const each of [agent, successor]) {
      expect(ids(await each.call('findKeys', { after: page.next }))).toEqual(ids(keys).sort().slice(3));
    }
    keys = keys.filter(({ id }) => id !== third);
  });

  test.each([[{ limit: 0 }], [{ limit: 257 }], [{ after: 'ABC' }], [{ after: 'a'.repeat(129) }]])(
    'is not given for %j',
    async (wrong) => {
      const refused = { code: 'ERR_HSM_ARGUMENT_INVALID' };
      await expect(agent.call('findKeys', wrong)).rejects.toMatchObject(refused);
      await expect(agent.call('inspectObjects', wrong)).rejects.toMatchObject(refused);
    },
  );
});

describe('a list on a slow token', () => {
  let device: VirtualHsm;
  beforeEach(() => {
    device = new VirtualHsm('slow-listing');
  });
  afterEach(() => device.remove());

  test.each(['findKeys', 'inspectObjects'] as const)(
    'by %s goes on where there was nothing to see, and says nothing of what is there',
    async (verb) => {
      const { token: slow, module, moduleEnvironment } = device;
      const ids = Array.from({ length: 6 }, (_, index) => `${index}${newId().slice(1)}`);
      const seen = newId().replace(/^./, 'f');
      const keys = [...ids.map((id) => ({ id, label: 'hidden' })), { id: seen, label: `seen-${verb}` }];
      importSecretKeys(
        slow,
        keys.map((key) => ({ ...sound, ...key, value: value() })),
      );
      const policy = [{ label: `seen-${verb}`, operations: ['find'] }] as const;
      const narrow = await AgentUnderTest.loggedIn(slow, { module, policy }, moduleEnvironment);
      // A page takes at most some 300 ms, so the hidden keys fill several.
      device.delay('C_GetAttributeValue', 20);
      let nexts: (string | undefined)[] = [];
      const found: unknown[] = [];
      const list = async () => {
        nexts = [];
        found.length = 0;
        for (let after: string | undefined; nexts.length === 0 || after !== undefined; nexts.push(after)) {
          const page: object = await narrow.call(verb, { after });
          found.push(...('objects' in page ? (page.objects as unknown[]) : (page as unknown[])));
          after = (page as { next?: string }).next;
        }
      };
      await list();
      expect(found).toEqual([expect.objectContaining({ id: seen, label: `seen-${verb}` })]);
      expect(nexts.length).toBeGreaterThan(2);
      expect([...new Set(nexts)].filter((next) => next !== seen)).toEqual(['', undefined]);

      // The next list begins anew.
      const come = newId().replace(/^./, '0');
      importSecretKeys(slow, [{ ...sound, id: come, label: `seen-${verb}`, value: value() }]);
      await list();
      device.heal();
      expect(found).toMatchObject([{ id: come }, { id: seen }]);
    },
  );
});

describe('an inspection', () => {
  test('reports every object of keys, with what is wrong with it', async () => {
    const pair = await generate('ec-p256', 'sign', 'pair');
    const { objects, next } = await agent.call('inspectObjects', {});
    expect(next).toBeUndefined();
    const facts = { label: 'pair', isToken: true, algorithm: 'ec-p256', usage: 'sign', faults: [] };
    expect(objects.filter(({ id }) => id === pair.id)).toEqual([
      expect.objectContaining({ ...facts, kind: 'private' }),
      expect.objectContaining({ ...facts, kind: 'public', spki: pair.spki }),
    ]);
    expect(objects.find(({ label }) => label === 'foreign')).toMatchObject({ id: 'abcd', faults: [] });
    expect(objects.find(({ label }) => label === 'unsafe')?.faults).toEqual(['CKA_ENCRYPT: want true, got false']);
  });

  test('of one key finds its objects, and those that hold its public key', async () => {
    const pair = await generate('ec-p256', 'sign', 'sought');
    const other = newId();
    const kinds = async (request: { id?: KeyId; spki?: Buffer }) =>
      (await agent.call('inspectObjects', request)).objects.map(({ kind }) => kind).sort();
    expect(await kinds({ id: pair.id })).toEqual(['private', 'public']);
    expect(await kinds({ id: other })).toEqual([]);
    expect(await kinds({ id: other, spki: pair.spki })).toEqual(['public']);
    // And what is found so is destroyed, with the half that shows no public key.
    expect(await agent.call('destroyKey', { keyId: other, spki: pair.spki })).toEqual({ destroyedObjects: 2 });
    expect(await kinds({ id: pair.id })).toEqual([]);
  });

  test('does not hide from whoever may not see an object that it is there', async () => {
    const key = await generate('hmac-sha256', 'mac', 'hidden');
    const policy = [{ label: 'other', operations: ['find'] }] as const;
    const narrow = await AgentUnderTest.loggedIn(token, { policy });
    const denied = { code: 'ERR_HSM_POLICY_DENIED' };
    await expect(narrow.call('inspectObjects', { id: key.id })).rejects.toMatchObject(denied);
    await expect(narrow.call('checkKey', { keyId: key.id })).rejects.toMatchObject(denied);
    expect((await narrow.call('inspectObjects', {})).objects).toEqual([]);
  });
});

describe('a check value', () => {
  test.each([
    ['hmac-sha256', 'mac'],
    ['aes-256', 'encrypt'],
  ] as const)('of %s is known again by the key that made it, and by no other', async (algorithm, usage) => {
    const [one, other] = [await generate(algorithm, usage, 'one'), await generate(algorithm, usage, 'other')];
    const { checkValue, matches } = await agent.call('checkKey', { keyId: one.id });
    expect(matches).toBe(true);
    expect(await agent.call('checkKey', { keyId: one.id, checkValue })).toEqual({ matches: true });
    expect(await agent.call('checkKey', { keyId: other.id, checkValue })).toEqual({ matches: false });
    expect(await agent.call('checkKey', { keyId: one.id, checkValue: Buffer.of(1) })).toEqual({ matches: false });
  });

  test('is not made by a key that has a public half, or wraps', async () => {
    for (const key of [await generate('ec-p256', 'sign', 'none'), await generate('aes-256', 'wrap', 'none')]) {
      expect(await agent.call('checkKey', { keyId: key.id })).toEqual({ matches: false });
    }
  });
});
