import { parseHsmConfig } from '../config.js';
import type { HsmError } from '../errors.js';
import type { Call } from './call.js';
import { Dispatcher } from './dispatcher.js';
import type { Member } from './member.js';
import { guarded } from './observer.js';

/** What the dispatcher looks at of a member whose calls are never answered. */
class FakeMember {
  readonly sent: string[] = [];
  readonly state = 'serving';
  readonly attempts = [];
  readonly config = { sessions: 1 };
  readonly latency = { median: 1 };
  readonly latencyOf: object;
  isReachable = true;
  hasRoom = false;

  constructor(
    readonly name: string,
    quick: number,
  ) {
    this.latencyOf = { data: { quick } };
  }

  get inFlight(): number {
    return this.hasRoom ? 0 : 1;
  }

  send(call: Call): void {
    this.sent.push(call.correlationId);
    this.hasRoom = false;
  }
  isSuspect = (): boolean => false;
  hangMilliseconds = (): number => 60_000;
  checkForHang = (): number => Infinity;
}

const minute = 60_000;
let slow: FakeMember;
let quick: FakeMember;
let dispatcher: Dispatcher;
let refused: string[];

beforeEach(() => {
  slow = new FakeMember('slow', minute);
  quick = new FakeMember('quick', 1);
  refused = [];
  const member = { module: '/module.so', token: { label: 'a' }, pin: { file: '/pin' } };
  const config = parseHsmConfig({ name: 'test', members: [member], stateDirectory: '/state', deadlineMilliseconds: 1 });
  dispatcher = new Dispatcher(config, { members: [slow, quick] as unknown as Member[] }, guarded({}));
  for (const correlationId of ['first', 'second']) {
    const options = { deadlineMilliseconds: minute / 2, correlationId };
    dispatcher.call('random', { byteLength: 1 }, options).catch(({ code }: HsmError) => {
      refused.push(`${correlationId}: ${code}`);
    });
  }
});
afterEach(() => dispatcher.close());

it('keeps calls that the member with room is too slow for, while another could serve them in time', async () => {
  slow.hasRoom = true;
  dispatcher.dispatch();
  await Promise.resolve();
  expect([slow.sent, refused, dispatcher.queued]).toEqual([[], [], 2]);
  quick.hasRoom = true;
  slow.hasRoom = false;
  dispatcher.dispatch();
  expect([quick.sent, dispatcher.queued]).toEqual([['first'], 1]);
});

it('gives one to the quicker member, though the other has room too, and the last to that', () => {
  slow.hasRoom = quick.hasRoom = true;
  dispatcher.dispatch();
  expect([quick.sent, slow.sent, dispatcher.queued]).toEqual([['first'], ['second'], 0]);
});

it('gives them up when no other is there, but for the last', async () => {
  quick.isReachable = false;
  slow.hasRoom = true;
  dispatcher.dispatch();
  await Promise.resolve();
  expect([slow.sent, refused, dispatcher.queued]).toEqual([['second'], ['first: ERR_HSM_TIMEOUT'], 0]);
});
