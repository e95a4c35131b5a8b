import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { MemberConfig } from '../config.js';
import { type HsmError } from '../errors.js';
import { Member, type MemberOwner } from './member.js';

const drainPollMilliseconds = 10;

export interface MembershipOwner extends MemberOwner {
  /** It has answered what it had and is no member any more. */
  left(member: Member): void;
}

/** Who is in a fleet: members come, are drained of their calls, and go. */
export class Membership {
  #members: readonly Member[] = [];
  /** The change that is under way, if one is. */
  #changing: Promise<void> = Promise.resolve();

  constructor(
    private readonly owner: MembershipOwner,
    /** Aborted when the fleet closes: then nobody is waited for. */
    private readonly closing: AbortSignal,
    private readonly agentEntry?: string,
  ) {}

  get members(): readonly Member[] {
    return this.#members;
  }

  /**
   * Starts the first members, and returns when one serves, or when none can for now: those are tried again for ever.
   * @throws {HsmError} when none can and only its operator or the application can mend it
   */
  async start(configs: readonly MemberConfig[]): Promise<void> {
    try {
      await Promise.any(configs.map((config) => this.#join(config)));
    } catch (error) {
      const reasons = (error as AggregateError).errors as HsmError[];
      if (reasons.some(({ fault }) => fault === 'token')) return;
      throw reasons[0];
    }
  }

  /**
   * Takes in and lets go of members until they are these, one such change after the other. Starts that fail are tried again.
   * @throws {HsmError} why none of these could be reached, when another could; nothing is changed then
   */
  become(configs: readonly MemberConfig[]): Promise<void> {
    const change = this.#changing.then(() => this.#become(configs));
    this.#changing = change.catch(() => undefined);
    return change;
  }

  /** Ends every agent, in good order if it still can. */
  async stop(): Promise<void> {
    await Promise.all(this.#members.map((member) => member.stop()));
    await this.#changing;
  }

  async #become(configs: readonly MemberConfig[]): Promise<void> {
    // Whoever joined now would be stopped by nobody.
    if (this.closing.aborted) return;
    const leaving = this.#members.filter((member) => !configs.some((config) => isAsWanted(member, config)));
    const coming = configs.filter((config) => !this.#members.some((member) => isAsWanted(member, config)));
    // New ones first, so that there is always one to go to.
    const starts = await Promise.allSettled(coming.map((config) => this.#join(config)));
    const wanted = this.#members.filter((member) => !leaving.includes(member));
    const failed = starts.find((start) => start.status === 'rejected');
    if (failed !== undefined && !wanted.some(({ isReachable }) => isReachable) && !this.closing.aborted) {
      await Promise.all(wanted.filter(({ config }) => coming.includes(config)).map((member) => this.#drain(member)));
      throw failed.reason;
    }
    await Promise.all(leaving.map((member) => this.#drain(member)));
  }

  #join(config: MemberConfig): Promise<void> {
    const member = new Member(config, this.owner, this.agentEntry);
    this.#members = [...this.#members, member];
    return member.start();
  }

  async #drain(member: Member): Promise<void> {
    member.leave();
    // Until its last call is answered or found hanging it is looked after as the others are.
    while (member.inFlight > 0 && !this.closing.aborted) await pause(drainPollMilliseconds);
    this.#members = this.#members.filter((each) => each !== member);
    this.owner.left(member);
    await member.stop();
  }
}

/** A member that was refused is asked for anew: perhaps its PIN was mended. */
function isAsWanted({ config, state }: Member, wanted: MemberConfig): boolean {
  return state !== 'refused' && isDeepStrictEqual(config, wanted);
}
