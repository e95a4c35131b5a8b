import { SessionShares } from '../agent/session-shares.js';
import type { TrafficClass } from '../agent/traffic-class.js';
import type { KeyId } from '../key/key.js';
import type { Call } from './call.js';
import { CallQueue } from './call-queue.js';

/**
 * The calls that wait for a session of a member: a line for each class of traffic, in which who came first is first. Each line is
 * bounded, and so is what one key may have of it: as many places as it leaves free. So a key that no member can use now, as when
 * the HSM that has it is frozen, never takes the last place from others.
 */
export class WaitingCalls {
  readonly shares = new SessionShares();
  readonly #lines: Readonly<Record<TrafficClass, CallQueue>> = {
    interactive: new CallQueue(),
    data: new CallQueue(),
    issuance: new CallQueue(),
    management: new CallQueue(),
  };
  readonly #ofKey = new Map<KeyId, number>();
  #length = 0;

  /** @param limit  places in each line */
  constructor(private readonly limit: number) {}

  get length(): number {
    return this.#length;
  }

  get lengths(): Readonly<Record<TrafficClass, number>> {
    const { interactive, data, issuance, management } = this.#lines;
    return {
      interactive: interactive.length,
      data: data.length,
      issuance: issuance.length,
      management: management.length,
    };
  }

  lengthOf(trafficClass: TrafficClass): number {
    return this.#lines[trafficClass].length;
  }

  hasPlaceFor({ trafficClass, keyId }: Call): boolean {
    const free = this.limit - this.#lines[trafficClass].length;
    return free > 0 && (keyId === undefined || (this.#ofKey.get(keyId) ?? 0) <= free);
  }

  push(call: Call): void {
    this.#lines[call.trafficClass].push(call);
    this.#count(call, 1);
  }

  /** To the front of its line, whatever the limit: calls that were under way already when their agent was lost. */
  unshift(call: Call): void {
    this.#lines[call.trafficClass].unshift(call);
    this.#count(call, 1);
  }

  /** @returns false when the call does not wait */
  remove(call: Call): boolean {
    const waited = this.#lines[call.trafficClass].remove(call);
    if (waited) this.#count(call, -1);
    return waited;
  }

  /** Each call, in the order in which they are to be served. Between two of them the first may leave, and have a session. */
  *inTurns(): Generator<Call, void, undefined> {
    const { interactive, data, issuance, management } = this.#lines;
    const next: Record<TrafficClass, Call | undefined> = {
      interactive: interactive.first,
      data: data.first,
      issuance: issuance.first,
      management: management.first,
    };
    const waits = (trafficClass: TrafficClass): boolean => next[trafficClass] !== undefined;
    for (let turn = this.shares.next(waits); turn !== undefined; turn = this.shares.next(waits)) {
      const call = next[turn] as Call;
      next[turn] = call.next;
      yield call;
    }
  }

  /** Each call; any may leave when it was looked at. */
  *[Symbol.iterator](): Generator<Call, void, undefined> {
    for (const line of Object.values(this.#lines)) yield* line;
  }

  #count({ keyId }: Call, change: 1 | -1): void {
    this.#length += change;
    if (keyId === undefined) return;
    const count = (this.#ofKey.get(keyId) ?? 0) + change;
    if (count === 0) this.#ofKey.delete(keyId);
    else this.#ofKey.set(keyId, count);
  }
}
