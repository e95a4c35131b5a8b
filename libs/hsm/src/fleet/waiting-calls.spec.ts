import type { TrafficClass } from '../agent/traffic-class.js';
import type { KeyId } from '../key/key.js';
import { Call } from './call.js';
import type { Member } from './member.js';
import { isHopeless } from './pace.js';
import { WaitingCalls } from './waiting-calls.js';

const [one, other] = ['a', 'b'].map((digit) => digit.repeat(32) as KeyId);

function callOf(trafficClass: TrafficClass, keyId?: KeyId, deadline = Infinity): Call {
  const terms = { startedAt: 0, deadline, correlationId: '', attemptsAllowed: 1, purpose: 'application' } as const;
  const request = { keyId, data: Buffer.alloc(0) } as { keyId: KeyId; data: Buffer };
  return new Call('mac', request, { ...terms, trafficClass }, () => undefined);
}

describe('calls that wait', () => {
  it('are served by shares, in each class who came first is first', () => {
    const waiting = new WaitingCalls(100);
    const calls = (['interactive', 'data', 'issuance', 'management'] as const).flatMap((each) =>
      Array.from({ length: 8 }, () => callOf(each)),
    );
    for (const call of calls) waiting.push(call);
    const served: Call[] = [];
    for (const call of waiting.inTurns()) {
      waiting.remove(call);
      waiting.shares.take(call.trafficClass);
      served.push(call);
    }
    expect(waiting.length).toBe(0);
    const first = served.slice(0, 8).map(({ trafficClass }) => trafficClass);
    expect(first.toSorted()).toEqual([
      ...['data', 'data', 'interactive', 'interactive', 'interactive', 'interactive', 'issuance', 'management'],
    ]);
    for (const each of ['interactive', 'data'] as const) {
      const ofClass = ({ trafficClass }: Call) => trafficClass === each;
      expect(served.filter(ofClass)).toEqual(calls.filter(ofClass));
    }
  });

  it('that cannot be served now hold up none of their class or of others', () => {
    const waiting = new WaitingCalls(100);
    const calls = [callOf('data', one), callOf('data', other), callOf('issuance', one), callOf('issuance', other)];
    for (const call of calls) waiting.push(call);
    const looked = [];
    for (const call of waiting.inTurns()) {
      looked.push(call);
      if (call.keyId === one) continue;
      waiting.remove(call);
      waiting.shares.take(call.trafficClass);
    }
    expect(looked).toHaveLength(4);
    expect([...waiting]).toEqual([calls[0], calls[2]]);
    expect(waiting.lengths).toEqual({ interactive: 0, data: 1, issuance: 1, management: 0 });
  });

  it('have a line of their own for each class, of which a key never takes the last places', () => {
    const waiting = new WaitingCalls(8);
    const fill = (trafficClass: TrafficClass, keyId?: KeyId): number => {
      let taken = 0;
      for (let call = callOf(trafficClass, keyId); waiting.hasPlaceFor(call); call = callOf(trafficClass, keyId)) {
        waiting.push(call);
        taken++;
      }
      return taken;
    };
    expect([fill('interactive', one), fill('interactive', other), fill('interactive')]).toEqual([5, 2, 1]);
    expect(waiting.hasPlaceFor(callOf('data', 'c'.repeat(32) as KeyId))).toBe(true);
    for (const call of waiting) waiting.remove(call);
    expect(fill('data', one)).toBe(5);
    expect(new WaitingCalls(1).hasPlaceFor(callOf('data', one))).toBe(true);
  });
});

describe('a call that waits', () => {
  const member = (quick: number | undefined, isReachable = true) =>
    ({ isReachable, latencyOf: { data: { quick }, interactive: {} }, config: { sessions: 4 } }) as unknown as Member;

  it.each<[string, number, number, readonly Member[], boolean]>([
    ['with time enough', 20, 0, [member(10)], false],
    ['with less time than any call takes', 9, 0, [member(10)], true],
    ['behind more than can be served before', 29, 8, [member(10)], true],
    ['behind as many, with twice the sessions', 29, 8, [member(10), member(10)], false],
    ['for the quicker of two', 9, 0, [member(10), member(5)], false],
    ['for a member that is away', 9, 0, [member(10, false)], false],
    ['for one of which nothing is known', 1, 100, [member(undefined)], false],
  ])('%s: %p ms, %p before it', (_, remaining, ahead, members, hopeless) => {
    expect(isHopeless(callOf('data', one, 1_000 + remaining), members, ahead, 1_000)).toBe(hopeless);
  });

  it('is not judged by the calls of another class', () => {
    expect(isHopeless(callOf('interactive', one, 1_001), [member(10)], 100, 1_000)).toBe(false);
  });
});
