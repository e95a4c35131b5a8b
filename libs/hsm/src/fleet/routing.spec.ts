import type { KeyId } from '../key/key.js';
import { Call, type CallTerms } from './call.js';
import { KeyHolders } from './key-holders.js';
import type { Member } from './member.js';
import { isSlow, route } from './routing.js';

const id = 'a'.repeat(32) as KeyId;

/** What routing looks at. */
interface Traits {
  readonly inFlight?: number;
  readonly sessions?: number;
  readonly state?: string;
  readonly isReachable?: boolean;
  readonly suspect?: boolean;
  readonly median?: number;
}

function member({
  inFlight = 0,
  sessions = 16,
  state = 'serving',
  isReachable = true,
  suspect = false,
  median,
}: Traits): Member {
  const traits = {
    inFlight,
    state,
    isReachable,
    config: { sessions },
    latency: { median },
    hasRoom: inFlight < sessions,
  };
  return { ...traits, isSuspect: () => suspect } as unknown as Member;
}

function call(terms: Partial<CallTerms> = {}): Call {
  const standard = { startedAt: 0, deadline: Infinity, correlationId: '', attemptsAllowed: 2 };
  const all = { ...standard, trafficClass: 'data' as const, purpose: 'application' as const, ...terms };
  return new Call('mac', { keyId: id, data: Buffer.alloc(0) }, all, () => undefined);
}

const chosen = (traits: readonly Traits[], holders = new KeyHolders()): number | undefined => {
  const members = traits.map(member);
  const found = route(members, call(), holders, 0);
  return found && members.indexOf(found);
};

describe('route', () => {
  it.each<[string, readonly Traits[], number | undefined]>([
    ['the only member', [{}], 0],
    ['the first of members that are alike', [{}, {}], 0],
    ['the one with the least in flight', [{ inFlight: 3 }, { inFlight: 2 }], 1],
    [
      'the one with the most room, by its sessions',
      [
        { inFlight: 2, sessions: 4 },
        { inFlight: 3, sessions: 16 },
      ],
      1,
    ],
    ['none when all are full', [{ inFlight: 16 }, { inFlight: 16 }], undefined],
    ['none when the only one is away', [{ isReachable: false }], undefined],
    ['the one that is there', [{ isReachable: false }, { inFlight: 9 }], 1],
    ['a sound one rather than one that seems frozen', [{ suspect: true }, { inFlight: 9 }], 1],
    ['a sound one rather than one on probation', [{ state: 'probation' }, { inFlight: 9 }], 1],
    ['one that seems frozen rather than one on probation', [{ state: 'probation' }, { suspect: true }], 1],
    ['one on probation when there is no other', [{ state: 'probation' }, { isReachable: false }], 0],
    ['none yet when the sound one is full', [{ suspect: true }, { inFlight: 16 }], undefined],
    ['a fast one rather than a slow one', [{ median: 100 }, { median: 2, inFlight: 9 }], 1],
    ['either of two that are alike slow', [{ median: 100 }, { median: 90, inFlight: 9 }], 0],
  ])('chooses %s', (_, traits, expected) => {
    expect(chosen(traits)).toBe(expected);
  });

  it('asks a member that lately lacked the key last, and none that was tried or that the call is not for', () => {
    const members = [member({}), member({ inFlight: 5 })];
    const [first, second] = members;
    const holders = new KeyHolders();
    holders.absent(first, id, 0);
    expect(route(members, call(), holders, 1)).toBe(second);
    expect(route(members, call({ only: first }), holders, 1)).toBe(first);
    const tried = call();
    tried.tried = [second];
    expect(route(members, tried, holders, 1)).toBe(first);
    tried.tried.push(first);
    expect(route(members, tried, holders, 1)).toBeUndefined();
    expect(route(members, call({ only: second }), new KeyHolders(), 1)).toBe(second);
  });
});

describe('isSlow', () => {
  it.each<[string, number | undefined, number | undefined, boolean]>([
    ['not measured', undefined, 2, false],
    ['alone measured', 100, undefined, false],
    ['five times as slow, and still fast', 5, 0.5, false],
    ['slower, but not by so much', 60, 20, false],
    ['much slower', 100, 2, true],
  ])('%s: %p ms beside %p ms is slow: %p', (_, median, fastest, expected) => {
    const members = [member({ median }), member({ median: fastest })];
    expect(isSlow(members[0], members)).toBe(expected);
  });
});
