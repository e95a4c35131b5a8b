import { SessionShares } from './session-shares.js';
import { type TrafficClass, trafficClasses } from './traffic-class.js';

/** Which classes have the sessions, when those wait without end and whoever had its session longest is done. */
function served(sessions: number, waiting: readonly TrafficClass[], calls: number): TrafficClass[] {
  const shares = new SessionShares();
  const onToken: TrafficClass[] = [];
  const order: TrafficClass[] = [];
  for (let call = 0; call < calls; call++) {
    if (onToken.length === sessions) shares.give(onToken.shift() as TrafficClass);
    const next = shares.next((each) => waiting.includes(each)) as TrafficClass;
    shares.take(next);
    onToken.push(next);
    order.push(next);
  }
  return order;
}
const count = (order: readonly TrafficClass[]) =>
  Object.fromEntries(trafficClasses.map((each) => [each, order.filter((one) => one === each).length]));

describe('the shares of the sessions', () => {
  it.each<[string, number, readonly TrafficClass[], Partial<Record<TrafficClass, number>>]>([
    ['all that there is, of who waits alone', 16, ['interactive'], { interactive: 800 }],
    ['by weight, when all wait', 8, trafficClasses, { interactive: 400, data: 200, issuance: 100, management: 100 }],
    ['by weight, of those that wait', 15, ['interactive', 'issuance'], { interactive: 640, issuance: 160 }],
    ['turns, where there are too few sessions to divide', 1, trafficClasses, { interactive: 200, management: 200 }],
  ])('are %s', (_, sessions, waiting, expected) => {
    expect(count(served(sessions, waiting, 800))).toMatchObject(expected);
  });

  it('give the next session to who has none', () => {
    const shares = new SessionShares();
    for (let session = 0; session < 16; session++) shares.take('interactive');
    expect(shares.next(() => true)).toBe('data');
    shares.take('data');
    expect(shares.next((each) => each !== 'management')).toBe('issuance');
    expect(shares.next(() => false)).toBeUndefined();
  });

  it('count time on the token, not calls', () => {
    const shares = new SessionShares();
    // Keys in the making hold half of the sessions for seconds: whatever is free meanwhile is for signatures.
    for (let session = 0; session < 8; session++) shares.take('management');
    for (let signature = 0; signature < 100; signature++) {
      expect(shares.next((each) => each === 'management' || each === 'interactive')).toBe('interactive');
      shares.take('interactive');
      shares.give('interactive');
    }
  });
});
