import { randomBytes } from 'node:crypto';
import { openKeys } from '../test/data-keys.js';
import type { DataKeyId } from './envelope.js';
import { tableScope } from './key-scope.js';

const table = tableScope('Patient');

async function openRing() {
  const opened = openKeys();
  const { id } = await opened.leases.reserve(table, 1);
  const { kek } = opened;
  const held = (ids: readonly DataKeyId[] = [id]) => opened.ring.held(ids);
  return { ...opened, id, held, unwraps: () => kek.calls.decrypt };
}

describe('a data key that is held', () => {
  it('is there without asking anybody', async () => {
    const { held, id, ring, store, kek, unwraps } = await openRing();
    const before = unwraps();
    store.fault = new Error('the database is down');
    kek.down();
    const keys = held();
    expect([...(keys ?? [])]).toMatchObject([[id, { id, scope: table }]]);
    expect(held([])).toEqual(new Map());
    expect(unwraps()).toBe(before);
    expect(keys?.get(id)).toBe(ring.peek(id));
  });

  it('is all of them or none', async () => {
    const { held, id } = await openRing();
    expect(held([id, randomBytes(16).toString('hex') as DataKeyId])).toBeUndefined();
  });

  it('is asked of the HSM when it is too old, and serves while that is down only once that is known', async () => {
    const { held, id, ring, kek, clock } = await openRing();
    clock.seconds += 3_601;
    expect(held()).toBeUndefined();
    kek.down();
    await ring.open([id]);
    expect([held()?.size, ring.state(id)]).toEqual([1, 'outage']);
    // So that an HSM which is back is noticed.
    clock.seconds += 5;
    expect(held()).toBeUndefined();
    clock.seconds += 14_400;
    expect([held(), ring.size]).toEqual([undefined, 0]);
  });

  it('is refused when it is closed', async () => {
    const { held, ring } = await openRing();
    ring.close();
    expect(() => held()).toThrow(expect.objectContaining({ code: 'ERR_DATA_CLOSED' }) as Error);
  });
});

describe('the age of a data key', () => {
  it('goes on while the machine is suspended', async () => {
    const { held, id, ring, clock, unwraps } = await openRing();
    const before = unwraps();
    clock.aheadSeconds = 3_601;
    expect(held()).toBeUndefined();
    await ring.open([id]);
    expect([held()?.size, unwraps()]).toEqual([1, before + 1]);
    clock.aheadSeconds += 3_601 + 14_400;
    expect([ring.state(id), ring.peek(id), held(), ring.size]).toEqual(['expired', undefined, undefined, 0]);
  });

  it('does not go back with the clock of the day', async () => {
    const { held, clock } = await openRing();
    clock.aheadSeconds = -86_400;
    expect(held()?.size).toBe(1);
    clock.seconds += 3_601;
    expect(held()).toBeUndefined();
  });
});
