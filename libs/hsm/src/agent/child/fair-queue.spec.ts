import type { Caller } from './caller.js';
import { FairQueue } from './fair-queue.js';

const tls = { name: 'tls' };
const ca = { name: 'ca' };
const callers: Record<string, Caller> = { t1: { role: tls }, t2: { role: tls }, c: { role: ca } };

interface Waiting {
  readonly name: string;
  readonly caller: Caller;
}
const queueOf = (...names: string[]): FairQueue<Waiting> => {
  const queue = new FairQueue<Waiting>(({ caller }) => caller);
  for (const name of names) queue.push(waiting(name));
  return queue;
};
const waiting = (name: string): Waiting => ({ name, caller: callers[name.split(':')[0]] });

/** Who is served in which order, when these wait: `t1:a` is item a of connection t1. */
function order(queue: FairQueue<Waiting>): string[] {
  const served: string[] = [];
  while (!queue.isEmpty) served.push(queue.shift()?.name ?? '');
  expect(queue.shift()).toBeUndefined();
  return served;
}

test.each([
  ['one connection: first come, first served', ['t1:a', 't1:b', 't1:c'], ['t1:a', 't1:b', 't1:c']],
  ['connections take turns', ['t1:a', 't1:b', 't1:c', 't2:a', 't2:b'], ['t1:a', 't2:a', 't1:b', 't2:b', 't1:c']],
  [
    'roles take turns, whatever their connections',
    ['t1:a', 't1:b', 't2:a', 'c:a', 'c:b'],
    ['t1:a', 'c:a', 't2:a', 'c:b', 't1:b'],
  ],
] as const)('%s', (_, items, served) => {
  expect(order(queueOf(...items))).toEqual(served);
});

test('who comes while another floods is next but one', () => {
  const queue = queueOf(...Array.from({ length: 1_000 }, (_, index) => `t1:${index}`));
  expect([queue.shift()?.name, queue.shift()?.name]).toEqual(['t1:0', 't1:1']);
  queue.push(waiting('c:a'));
  expect([queue.shift()?.name, queue.shift()?.name]).toContain('c:a');
  expect([queue.lengthOf(tls), queue.lengthOf(ca)]).toEqual([997, 0]);
});

test('who gives up is gone at once, and counts no more', () => {
  const queue = queueOf('t1:a', 't2:a', 'c:a');
  const gone = waiting('t1:b');
  queue.push(gone);
  expect(queue.lengthOf(tls)).toBe(3);
  expect([queue.remove(gone), queue.remove(gone)]).toEqual([true, false]);
  expect(queue.lengthOf(tls)).toBe(2);
  expect(order(queue)).toEqual(['t1:a', 'c:a', 't2:a']);
});
