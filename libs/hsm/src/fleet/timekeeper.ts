import { verbFacts } from '../agent/protocol.js';
import { Alarm } from './alarm.js';
import type { Attempt } from './attempt.js';
import type { Call } from './call.js';
import { Hedging } from './hedging.js';
import type { KeyHolders } from './key-holders.js';
import type { Member } from './member.js';
import { route } from './routing.js';
import type { WaitingCalls } from './waiting-calls.js';

/** How often those who wait are looked at, beside every answer: what routing looks at changes with time too. */
const rerouteMilliseconds = 25;

export interface TimekeeperOwner {
  /** Its deadline has passed. */
  expire(call: Call): void;
  /** It takes long on one member, and is to be made on the other too. */
  hedge(call: Call, member: Member, other: Member, now: number): void;
  /** Those who wait may find room now. */
  dispatch(): void;
}

/** Looks, by one timer for all calls of a fleet, for those that take long, and has agents replaced that are hung. */
export class Timekeeper {
  readonly #alarm = new Alarm(() => this.#look());
  readonly #hedging = new Hedging();

  constructor(
    private readonly fleet: { readonly members: readonly Member[] },
    private readonly waiting: WaitingCalls,
    private readonly holders: KeyHolders,
    private readonly owner: TimekeeperOwner,
  ) {}

  taken(call: Call): void {
    this.#alarm.at(call.deadline);
  }

  waits(now: number): void {
    this.#alarm.at(now + rerouteMilliseconds);
  }

  sent(call: Call, member: Member, now: number): void {
    this.#alarm.at(now + member.hangMilliseconds(call.verb));
    if (call.mayHedge && call.underWay === 1) this.#alarm.at(now + this.#hedging.delayMilliseconds);
  }

  answered({ verb, milliseconds }: Attempt): void {
    if (verbFacts[verb].retrySafe) this.#hedging.answered(milliseconds);
  }

  /** For good. */
  stop(): void {
    this.#alarm.stop();
  }

  #look(): void {
    const now = performance.now();
    let next = Infinity;
    for (const call of this.waiting) {
      if (call.deadline <= now) {
        this.waiting.remove(call);
        this.owner.expire(call);
      } else next = Math.min(next, call.deadline, now + rerouteMilliseconds);
    }
    for (const member of this.fleet.members) {
      for (const attempt of member.attempts) {
        const { call } = attempt;
        if (call.settled) continue;
        if (call.deadline <= now) this.owner.expire(call);
        else next = Math.min(next, call.deadline, this.#hedge(member, attempt, now));
      }
      next = Math.min(next, member.checkForHang(now));
    }
    if (next < Infinity) this.#alarm.at(next);
    this.owner.dispatch();
  }

  /** @returns when to look again */
  #hedge(member: Member, { call, sentAt }: Attempt, now: number): number {
    const { members } = this.fleet;
    if (!call.mayHedge || call.underWay !== 1 || members.length === 1) return Infinity;
    const hedgeAt = (sentAt || now) + this.#hedging.delayMilliseconds;
    if (hedgeAt > now) return hedgeAt;
    const others = members.filter((each) => each !== member);
    const other = route(others, call, this.holders, now);
    // Never one on probation: it may answer fast and wrongly.
    if (other?.state === 'serving' && this.#hedging.mayHedge()) this.owner.hedge(call, member, other, now);
    return Infinity;
  }
}
