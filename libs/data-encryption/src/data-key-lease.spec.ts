import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createHsmError, openKeys } from '../test/data-keys.js';
import { maximumMessages } from './data-key.js';
import type { DataKeyId } from './envelope.js';
import { tableScope } from './key-scope.js';

const table = tableScope('Patient');

describe('the data keys of a table', () => {
  it('are made with one HSM call and opened with one, however many ask', async () => {
    const { leases, ring, kek, store } = openKeys();
    const keys = await Promise.all(Array.from({ length: 20 }, () => leases.reserve(table, 10)));
    expect(new Set(keys.map(({ id }) => id)).size).toBe(1);
    expect(kek.calls).toEqual({ encrypt: 1, decrypt: 1 });
    await Promise.all(Array.from({ length: 20 }, () => ring.open([keys[0].id])));
    expect(kek.calls.decrypt).toBe(1);
    expect([...store.records.values()]).toMatchObject([{ ...table, state: 'active', reservedMessages: 2 ** 16 }]);
  });

  it('are reserved in blocks before they are used', async () => {
    const { leases, store } = openKeys();
    await leases.reserve(table, 1);
    expect([...store.records.values()][0].reservedMessages).toBe(2 ** 16);
    await leases.reserve(table, 60_000);
    await leases.reserve(table, 60_000);
    expect([...store.records.values()][0].reservedMessages).toBeGreaterThanOrEqual(2 ** 17);
  });

  it('are enough for any number of large statements at once', async () => {
    const { leases, store } = openKeys();
    await Promise.all(Array.from({ length: 12 }, () => leases.reserve(table, 60_000)));
    expect([...store.records.values()][0].reservedMessages).toBeGreaterThanOrEqual(12 * 60_000);
  });

  it('retire at their limit, and another takes their place', async () => {
    const { leases, store } = openKeys();
    const first = await leases.reserve(table, 1);
    store.change(first.id, { reservedMessages: maximumMessages });
    for (let used = 0; used < 2; used++) await leases.reserve(table, 60_000);
    const second = await leases.reserve(table, 1);
    expect(second.id).not.toBe(first.id);
    expect(store.records.get(first.id)?.state).toBe('retired');
  });

  it('that another process stored first are used by both', async () => {
    const one = openKeys();
    one.kek.addKey('kek');
    const two = openKeys({ store: one.store, kek: one.kek });
    const [first, second] = await Promise.all([one.leases.reserve(table, 1), two.leases.reserve(table, 1)]);
    expect(first.id).toBe(second.id);
    expect([...one.store.records.values()].filter(({ state }) => state === 'active')).toHaveLength(1);
  });

  it('that were retired elsewhere encrypt no more once their age is up', async () => {
    const { leases, store, clock } = openKeys();
    const first = await leases.reserve(table, 1);
    store.change(first.id, { state: 'retired' });
    clock.seconds += 3_601;
    expect((await leases.reserve(table, 1)).id).not.toBe(first.id);
  });
});

describe('the keys of tenants', () => {
  const of = (tenant: string) => ({ ...table, tenant });

  it('make room for each other, and their bytes go with them', async () => {
    const { leases, ring, kek } = openKeys({ maxLoadedKeys: 3 });
    await leases.reserve(table, 1);
    const ids: DataKeyId[] = [];
    const secrets: WeakRef<object>[] = [];
    for (const tenant of ['a', 'b', 'c', 'd', 'e']) {
      const key = await leases.reserve(of(tenant), 1);
      ids.push(key.id);
      // The addon overwrites the key when this object is collected (native/src/secret_bytes.cc).
      secrets.push(new WeakRef(key.secret));
    }
    expect(ids.map((id) => ring.state(id) ?? 'gone')).toEqual(['gone', 'gone', 'gone', 'fresh', 'fresh']);
    expect(ring.size).toBe(3);
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    while (secrets[0].deref() !== undefined) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      collect();
    }
    expect(secrets[4].deref()).toBeDefined();
    // Used last, kept longest; what made room is opened once more.
    await ring.open([ids[3]]);
    const { decrypt } = kek.calls;
    await Promise.all([1, 2, 3].map(() => ring.open([ids[0]])));
    expect(kek.calls.decrypt).toBe(decrypt + 1);
    expect([ids[3], ids[4]].map((id) => ring.state(id) ?? 'gone')).toEqual(['fresh', 'gone']);
  });

  it('are not waited for while the HSM is down, nor tried in the background', async () => {
    const { leases, kek } = openKeys({ retryMilliseconds: 50 });
    kek.down();
    await expect(leases.reserve(of('a'), 1)).rejects.toMatchObject({ code: 'ERR_DATA_KEY_UNAVAILABLE' });
    const { turns } = kek;
    await expect(leases.reserve(of('a'), 1)).rejects.toMatchObject({ code: 'ERR_DATA_KEY_UNAVAILABLE' });
    expect(kek.turns).toBe(turns);
    expect(leases.status()).toMatchObject({ state: 'ready', unready: [] });
    kek.up();
    let key;
    while (key === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      key = await leases.reserve(of('a'), 1).catch(() => undefined);
    }
    expect(key.scope).toEqual(of('a'));
  });
});

describe('an HSM that is down', () => {
  it('at the start: unready, refused at once, mended without help', async () => {
    const { leases, kek } = openKeys({ retryMilliseconds: 20 });
    kek.down();
    await leases.prepare([table]);
    expect(leases.status()).toMatchObject({ state: 'unready', unready: [{ tableId: table.tableId, columnId: '' }] });
    await expect(leases.reserve(table, 1)).rejects.toMatchObject({ code: 'ERR_DATA_KEY_UNAVAILABLE', retryable: true });
    kek.up();
    while (leases.status().state !== 'ready') await new Promise((resolve) => setTimeout(resolve, 5));
    await expect(leases.reserve(table, 1)).resolves.toMatchObject({ isRetired: false });
    leases.close();
  });

  it('later: served for the configured time, then nothing is', async () => {
    const { leases, ring, kek, clock } = openKeys();
    const { id } = await leases.reserve(table, 1);
    kek.down();
    clock.seconds += 3_601;
    expect((await leases.reserve(table, 1)).id).toBe(id);
    expect(leases.status().state).toBe('degraded');
    clock.seconds += 14_000;
    await expect(ring.open([id])).resolves.toHaveProperty('size', 1);
    clock.seconds += 500;
    await expect(ring.open([id])).rejects.toMatchObject({ code: 'ERR_DATA_KEY_UNAVAILABLE' });
    expect(ring.size).toBe(0);
    await expect(leases.reserve(table, 1)).rejects.toMatchObject({ code: 'ERR_DATA_KEY_UNAVAILABLE' });
    expect((await leases.check()).state).toBe('unready');
    kek.up();
    expect((await leases.reserve(table, 1)).id).toBe(id);
    expect((await leases.check()).state).toBe('ready');
  });

  it('is not asked again for every call', async () => {
    const { leases, kek, clock } = openKeys();
    await leases.reserve(table, 1);
    kek.down();
    clock.seconds += 3_601;
    const before = kek.turns;
    for (let call = 0; call < 50; call++) await leases.reserve(table, 1);
    expect(kek.turns - before).toBeLessThanOrEqual(2);
  });
});

describe('an HSM that refuses', () => {
  it('at the start: an error, not an outage', async () => {
    const { leases } = openKeys({ createKek: false });
    await expect(leases.prepare([table])).rejects.toMatchObject({
      code: 'ERR_DATA_KEY_REJECTED',
      message: expect.stringContaining('KEK kek'),
    });
    leases.close();
  });

  it.each([
    ['the KEK is gone', (kek: ReturnType<typeof openKeys>['kek'], id: string) => kek.removeKey(id)],
    ['the KEK has other bytes', (kek: ReturnType<typeof openKeys>['kek'], id: string) => kek.replaceSecret(id)],
    [
      'the PIN is refused',
      (kek: ReturnType<typeof openKeys>['kek']) => (kek.fault = createHsmError('ERR_HSM_PIN_INCORRECT')),
    ],
  ])('later, because %s: the loaded key is dropped at once', async (_, happen) => {
    const { leases, ring, kek, store, clock } = openKeys();
    const { id } = await leases.reserve(table, 1);
    happen(kek, store.records.get(id)!.kekVersion);
    clock.seconds += 3_601;
    await expect(ring.open([id])).rejects.toMatchObject({ code: 'ERR_DATA_KEY_REJECTED', fault: 'operator' });
    expect(ring.state(id)).toBeUndefined();
  });

  it('a KEK of another usage', async () => {
    const { leases, kek } = openKeys({ createKek: false });
    kek.addKey('kek', 'wrap');
    await expect(leases.prepare([table])).rejects.toMatchObject({ code: 'ERR_DATA_KEY_REJECTED' });
    leases.close();
  });
});

describe('a database that is down', () => {
  it('is an outage: loaded keys serve', async () => {
    const { leases, store, clock } = openKeys();
    const { id } = await leases.reserve(table, 1);
    store.fault = new Error('connection refused');
    clock.seconds += 3_601;
    expect((await leases.reserve(table, 1)).id).toBe(id);
  });

  it('that does not answer holds nobody up for ever, and loaded keys serve', async () => {
    const { leases, store, clock } = openKeys({ deadlineMilliseconds: 30 });
    const { id } = await leases.reserve(table, 1);
    store.hangs = true;
    clock.seconds += 3_601;
    expect((await leases.reserve(table, 1)).id).toBe(id);
    expect(leases.status().state).toBe('degraded');
  });

  it('that does not answer is waited for only so long', async () => {
    const { leases, store } = openKeys({ deadlineMilliseconds: 30 });
    store.hangs = true;
    await expect(leases.reserve(table, 1)).rejects.toMatchObject({
      code: 'ERR_DATA_KEY_UNAVAILABLE',
      message: `data key of ${table.tableId}: want it ready within 30 ms`,
    });
  });
});

it('after close every method fails', async () => {
  const { leases, ring } = openKeys();
  const { id } = await leases.reserve(table, 1);
  leases.close();
  ring.close();
  await expect(ring.open([id])).rejects.toMatchObject({ code: 'ERR_DATA_CLOSED' });
  await expect(leases.reserve(table, 1)).rejects.toMatchObject({ code: 'ERR_DATA_CLOSED' });
  expect(leases.status().state).toBe('closed');
});
