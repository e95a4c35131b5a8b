import type { Caller } from './caller.js';
import { FairQueue } from './fair-queue.js';

const tls = { name: 'tls' };
const ca = { name: 'ca' };
const callers: Record<string, Caller> = { t1: { role: tls }, t2: { role: tls }, c: { role: ca } };

/** Who is served in which order, when these wait: `t1:a` is item a of connection t1. */
function order(...items: string[]): string[] {
  const queue = new FairQueue<string>((item) => callers[item.split(':')[0]]);
  for (const item of items) queue.push(item);
  const served: string[] = [];
  while (queue.length > 0) served.push(queue.shift() as string);
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
  expect(order(...items)).toEqual(served);
});

test('who comes while another floods is next but one', () => {
  const queue = new FairQueue<string>((item) => callers[item.split(':')[0]]);
  for (let index = 0; index < 1_000; index++) queue.push(`t1:${index}`);
  expect([queue.shift(), queue.shift()]).toEqual(['t1:0', 't1:1']);
  queue.push('c:a');
  expect([queue.shift(), queue.shift()]).toContain('c:a');
  expect(queue.length).toBe(997);
});
