import { MemoryStore, TestClock } from '../test/data-keys.js';
import { SoftwareKek } from '../test/software-kek.js';
import { BlindIndex, type IndexKey, type Normalization } from './blind-index.js';
import { BlindIndexKeys } from './blind-index-keys.js';
import { createDataKey, type DataKeyRecord, indexKeys } from './data-key.js';
import { DataKeyRing } from './data-key-ring.js';
import { KeyEncryptionKey } from './key-encryption-key.js';

const place = { purpose: 'index', tableId: 'Patient', columnId: 'email', tenant: '' } as const;

function open({
  kek = new SoftwareKek(),
  store = new MemoryStore(),
  normalization = 'email',
}: { kek?: SoftwareKek; store?: MemoryStore; normalization?: Normalization } = {}) {
  const clock = new TestClock();
  const key = new KeyEncryptionKey({ hsm: kek, label: 'kek', create: true });
  const index = new BlindIndex('email', 'string', normalization, 'Patient.email');
  const now = () => clock.now();
  const options = {
    databaseId: 'test',
    kek: key,
    store,
    maxAgeSeconds: 3_600,
    outageSeconds: 14_400,
    maxLoadedKeys: 16,
    now,
  };
  const ring = new DataKeyRing<undefined, IndexKey>({ ...options, kind: indexKeys });
  const keys = new BlindIndexKeys<undefined>({ ...options, ring, indexes: new Map([['Patient', [index]]]) });
  return { kek, store, clock, key, index, keys };
}

describe('the keys of a blind index', () => {
  it('are made once, by whichever process is faster, and found by both', async () => {
    const one = open();
    one.kek.addKey('kek');
    const two = open(one);
    await Promise.all([one.keys.prepare('Patient'), two.keys.prepare('Patient')]);
    expect([...one.store.records.values()]).toMatchObject([{ ...place, algorithm: 'hmac-sha-256/email' }]);
    const [left, right] = [one, two].map(({ keys, index }) => index.text('ada@x', keys.keys('Patient', index)[0]));
    expect(left).toBe(right);
  });

  it('are asked of the HSM once an hour', async () => {
    const { kek, clock, keys } = open();
    expect(keys.isFresh).toBe(false);
    await keys.prepare('Patient');
    await keys.prepare('Patient');
    expect([keys.isFresh, keys.isFreshFor('Patient'), kek.calls.decrypt]).toEqual([true, true, 1]);
    clock.seconds = 3_601;
    expect([keys.isFresh, keys.isFreshFor('Patient'), keys.isLoaded('Patient')]).toEqual([false, false, true]);
    await Promise.all([keys.load('Patient'), keys.load('Patient')]);
    expect([keys.isFresh, kek.calls.decrypt]).toEqual([true, 2]);
    // While the machine was suspended.
    clock.aheadSeconds = 3_601;
    expect([keys.isFresh, keys.isFreshFor('Patient')]).toEqual([false, false]);
  });

  it('are changed without a row that is not found: the new one writes, both are searched', async () => {
    const { store, key, index, keys, clock } = open();
    await keys.prepare('Patient');
    const [old] = keys.keys('Patient', index);
    store.change(old.id, { state: 'retired' });
    await store.add(await createDataKey(key, 'test', place, index.algorithm));
    clock.seconds = 3_601;
    await keys.load('Patient');
    const found = keys.keys('Patient', index);
    expect(found.map(({ isActive }) => isActive)).toEqual([true, false]);
    const text = index.text('ada@x', old);
    expect(found.map((each) => index.text('ada@x', each)).indexOf(text)).toBe(1);
  });

  it('of another purpose, table or column are none of them', async () => {
    const { store, index, keys } = open();
    await keys.prepare('Patient');
    const [record] = store.records.values();
    store.change(record.id, { purpose: 'cell' });
    const again = open({ store, kek: open().kek });
    await expect(again.keys.load('Patient')).rejects.toMatchObject({ code: 'ERR_DATA_KEY_UNAVAILABLE' });
    expect(keys.keys('Patient', index)).toHaveLength(1);
  });

  it.each<[string, Partial<DataKeyRecord>]>([
    ['another column', { columnId: 'phone' }],
    ['another table', { tableId: 'Doctor' }],
    ['another normalization', { algorithm: 'hmac-sha-256/exact' }],
    ['another commitment', { commitment: Buffer.alloc(32) }],
  ])('are refused when their row was changed to %s', async (_, change) => {
    const { kek, store, keys } = open();
    await keys.prepare('Patient');
    const [record] = store.records.values();
    store.change(record.id, change);
    const { columnId = 'email', tableId = 'Patient', algorithm = 'hmac-sha-256/email' } = change;
    const index = new BlindIndex(columnId, 'string', algorithm.split('/')[1] as Normalization, 'x');
    const options = { databaseId: 'test', store, maxAgeSeconds: 60, outageSeconds: 60, maxLoadedKeys: 16 };
    const kekOf = { ...options, kek: new KeyEncryptionKey({ hsm: kek, label: 'kek', create: false }) };
    const ring = new DataKeyRing<undefined, IndexKey>({ ...kekOf, kind: indexKeys });
    const reader = new BlindIndexKeys<undefined>({ ...kekOf, ring, indexes: new Map([[tableId, [index]]]) });
    await expect(reader.load(tableId)).rejects.toMatchObject({ code: 'ERR_DATA_KEY_REJECTED' });
  });

  it('made for another normalization are refused, with the way out', async () => {
    const { store, kek, keys } = open();
    await keys.prepare('Patient');
    const other = open({ store, kek, normalization: 'exact' });
    await expect(other.keys.prepare('Patient')).rejects.toMatchObject({
      code: 'ERR_DATA_MAPPING_INVALID',
      message: expect.stringMatching(
        /Patient\.email: want the normalization its index was made with, email, got exact; the way out/,
      ),
    });
  });

  it('serve while the HSM is down for as long as data keys do, and no longer', async () => {
    const { kek, clock, index, keys } = open();
    await keys.prepare('Patient');
    kek.down();
    clock.seconds = 3_601;
    await keys.load('Patient');
    expect(keys.keys('Patient', index)).toHaveLength(1);
    clock.seconds = 3_600 + 14_401;
    await expect(keys.load('Patient')).rejects.toMatchObject({ code: 'ERR_DATA_KEY_UNAVAILABLE' });
    expect(() => keys.keys('Patient', index)).toThrow(/want its key loaded, got none/);
    kek.up();
    await keys.load('Patient');
    expect(keys.keys('Patient', index)).toHaveLength(1);
  });

  it('are forgotten when it is closed', async () => {
    const { keys, index } = open();
    await keys.prepare('Patient');
    keys.close();
    expect([keys.size, keys.isFresh]).toEqual([0, false]);
    expect(() => keys.keys('Patient', index)).toThrow(/want its key loaded/);
    await expect(keys.load('Patient')).rejects.toMatchObject({ code: 'ERR_DATA_CLOSED' });
  });
});
