import { SessionShares } from '../session-shares.js';
import type { TrafficClass } from '../traffic-class.js';
import type { Caller, CallerRole } from './caller.js';
import { FairQueue } from './fair-queue.js';

let tls: CallerRole;
let ca: CallerRole;
let callers: Record<string, Caller>;
beforeEach(() => {
  [tls, ca] = [{ shares: new SessionShares() }, { shares: new SessionShares() }];
  callers = { t1: { role: tls }, t2: { role: tls }, c: { role: ca } };
});

interface Waiting {
  readonly name: string;
  readonly caller: Caller;
  readonly trafficClass: TrafficClass;
}
const queueOf = (...names: string[]): FairQueue<Waiting> => {
  const queue = new FairQueue<Waiting>((item) => item);
  for (const name of names) queue.push(waiting(name));
  return queue;
};
const waiting = (name: string): Waiting => {
  const [caller, what] = name.split(':');
  return { name, caller: callers[caller], trafficClass: what.startsWith('data') ? 'data' : 'interactive' };
};

/** Who is served in which order, and keeps the session, when these wait: `t1:a` is item a of connection t1. */
function order(queue: FairQueue<Waiting>): string[] {
  const served: string[] = [];
  while (!queue.isEmpty) {
    const { name, caller, trafficClass } = queue.shift() as Waiting;
    caller.role.shares.take(trafficClass);
    served.push(name);
  }
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
  [
    'within a role classes have their shares, whoever waits in them',
    ['t1:a', 't1:b', 't1:c', 't2:a', 't2:b', 't2:data-a', 't1:data-b'],
    ['t1:a', 't2:data-a', 't2:a', 't1:data-b', 't1:b', 't2:b', 't1:c'],
  ],
  [
    'and a role has no more for the classes that it names',
    ['c:a', 'c:data-a', 'c:data-b', 't1:a', 't1:b', 't1:c'],
    ['c:a', 't1:a', 'c:data-a', 't1:b', 'c:data-b', 't1:c'],
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

test('a role whose calls keep their sessions for long has no more of them than one whose calls are quick', () => {
  const queue = queueOf(...Array.from({ length: 20 }, (_, index) => `c:${index}`));
  const sessions = 8;
  for (let session = 0; session < sessions; session++)
    (queue.shift() as Waiting).caller.role.shares.take('interactive');
  for (let call = 0; call < 100; call++) queue.push(waiting(`t1:${call}`));
  // Two of the slow calls end; what the quick ones have they give back at once.
  for (let ended = 0; ended < 2; ended++) {
    ca.shares.give('interactive');
    expect(queue.shift()?.caller.role).toBe(tls);
    tls.shares.take('interactive');
  }
  for (let call = 0; call < 50; call++) {
    tls.shares.give('interactive');
    expect(queue.shift()?.caller.role).toBe(tls);
    tls.shares.take('interactive');
  }
  expect([ca.shares.held, tls.shares.held]).toEqual([6, 2]);
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

test('roles that share one session take turns call by call, however long one is', () => {
  const queue = queueOf('t1:a', 't1:b', 't1:c', 'c:a', 'c:b');
  const served: string[] = [];
  while (!queue.isEmpty) {
    const { name, caller, trafficClass } = queue.shift() as Waiting;
    caller.role.shares.take(trafficClass);
    caller.role.shares.give(trafficClass);
    served.push(name);
  }
  expect(served).toEqual(['t1:a', 'c:a', 't1:b', 'c:b', 't1:c']);
});
