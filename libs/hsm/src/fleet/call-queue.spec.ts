import fc from 'fast-check';
import { Call } from './call.js';
import { CallQueue } from './call-queue.js';

const newCall = () =>
  new Call(
    'ping',
    {},
    {
      startedAt: 0,
      deadline: Infinity,
      correlationId: '',
      attemptsAllowed: 1,
      trafficClass: 'data',
      purpose: 'application',
    },
    () => undefined,
  );

describe('CallQueue', () => {
  it('behaves as a list from which anyone may leave', () => {
    const step = fc.record({
      does: fc.constantFrom('push', 'unshift', 'shift', 'remove', 'remove again'),
      which: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const queue = new CallQueue();
        const list: Call[] = [];
        const gone: Call[] = [];
        for (const { does, which } of steps) {
          const call = newCall();
          if (does === 'push') {
            queue.push(call);
            list.push(call);
          } else if (does === 'unshift') {
            queue.unshift(call);
            list.unshift(call);
          } else if (does === 'shift') expect(queue.shift()).toBe(list.shift());
          else if (does === 'remove again' && gone.length > 0)
            expect(queue.remove(gone[which % gone.length])).toBe(false);
          else if (does === 'remove' && list.length > 0) {
            const [left] = list.splice(which % list.length, 1);
            expect(queue.remove(left)).toBe(true);
            gone.push(left);
          }
          expect(queue.length).toBe(list.length);
          expect([...queue]).toEqual(list);
        }
      }),
    );
  });

  it('may lose calls while it is looked through', () => {
    const queue = new CallQueue();
    const calls = [newCall(), newCall(), newCall()];
    for (const call of calls) queue.push(call);
    const seen = [...queue].length;
    for (const call of queue) queue.remove(call);
    expect([seen, queue.length]).toEqual([3, 0]);
  });
});
