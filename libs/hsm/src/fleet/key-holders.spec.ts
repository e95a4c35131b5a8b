import type { KeyId } from '../key/key.js';
import { KeyHolders } from './key-holders.js';
import type { Member } from './member.js';

describe('KeyHolders', () => {
  const [first, second] = [{ name: 'm1' }, { name: 'm2' }] as Member[];
  const id = 'a'.repeat(32) as KeyId;

  it('takes any member for a holder until it is known not to be one', () => {
    const holders = new KeyHolders();
    expect(holders.mayHold(first, id, 0)).toBe(true);
    holders.absent(first, id, 0);
    expect([holders.mayHold(first, id, 1), holders.mayHold(second, id, 1)]).toEqual([false, true]);
    expect(holders.mayHold(first, 'b'.repeat(32) as KeyId, 1)).toBe(true);
  });

  it('asks again after five seconds, since a device may have copied the key by then', () => {
    const holders = new KeyHolders();
    holders.absent(first, id, 1_000);
    expect([holders.mayHold(first, id, 5_999), holders.mayHold(first, id, 6_000)]).toEqual([false, true]);
  });

  it('knows at once when the key was there after all', () => {
    const holders = new KeyHolders();
    holders.absent(first, id, 0);
    holders.present(first, id);
    expect(holders.mayHold(first, id, 1)).toBe(true);
  });

  it('forgets a member that left, and nothing of the others', () => {
    const holders = new KeyHolders();
    for (const member of [first, second]) holders.absent(member, id, 0);
    holders.forget(first);
    expect([holders.mayHold(first, id, 1), holders.mayHold(second, id, 1)]).toEqual([true, false]);
  });
});
