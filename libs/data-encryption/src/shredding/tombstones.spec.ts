import { jest } from '@jest/globals';
import { Tombstones, type TombstoneStore } from './tombstones.js';

/** A database that nothing goes wrong with, and what was asked of it. */
function open() {
  const done: string[] = [];
  const store: TombstoneStore = {
    isBusy: false,
    waiting: () => Promise.resolve([]),
    beat: () => Promise.resolve(true),
    leave: () => Promise.resolve(void done.push('leave')),
  };
  const forgetAll = () => void done.push('forget all');
  const tombstones = new Tombstones({ processId: 'p', store, leaseSeconds: 60, forget: () => undefined, forgetAll });
  return { tombstones, done };
}

describe('what a process knows of shredded tenants', () => {
  afterEach(() => jest.restoreAllMocks());

  it('is too old when the day has gone on while the machine was suspended', async () => {
    const { tombstones } = open();
    await tombstones.refresh();
    expect(() => tombstones.admit('north')).not.toThrow();
    // The clock that never goes back has stood still.
    const later = Date.now() + Tombstones.silence(60);
    jest.spyOn(Date, 'now').mockImplementation(() => later);
    expect(() => tombstones.admit('north')).toThrow(
      expect.objectContaining({ code: 'ERR_DATA_KEY_UNAVAILABLE' }) as Error,
    );
    await tombstones.refresh();
    expect(() => tombstones.admit('north')).not.toThrow();
    await tombstones.close();
  });

  it('is forgotten, with every key, before the process says that it leaves', async () => {
    const { tombstones, done } = open();
    await tombstones.refresh();
    await tombstones.close();
    expect(done).toEqual(['forget all', 'leave']);
    expect(() => tombstones.admit('north')).toThrow(expect.objectContaining({ code: 'ERR_DATA_CLOSED' }) as Error);
  });
});
