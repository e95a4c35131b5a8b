import { randomBytes } from 'node:crypto';
import type { Answer, Request } from '../agent/protocol.js';
import { type HsmError } from '../errors.js';
import { type KeyId, probeKeyLabel } from '../key/key.js';
import type { FleetCallOptions, FleetVerb } from './call-options.js';
import type { Member } from './member.js';
import { isSlow } from './routing.js';

const tickMilliseconds = 500;
const slowEachMilliseconds = 1_000;
/** Often enough to keep an idle connection alive, and to find a member that answers wrongly. */
const soundEachMilliseconds = 10_000;
const deadlineMilliseconds = 2_000;
const keylessCodes: ReadonlySet<string> = new Set([
  'ERR_HSM_MECHANISM_UNSUPPORTED',
  'ERR_HSM_TOKEN_FULL',
  'ERR_HSM_TOKEN_ERROR',
  // A shared agent makes it itself, as far as it can be made.
  'ERR_HSM_POLICY_DENIED',
]);

export interface ProbedFleet {
  readonly members: readonly Member[];
  callOn<V extends FleetVerb>(
    member: Member,
    verb: V,
    request: Request<V>,
    options: FleetCallOptions,
  ): Promise<Answer<V>>;
}

/**
 * Deep probes: a real signature, verified, or random bytes of a token that cannot have a key for it. A member that was lost or whose breaker opened serves again when it has passed
 * one. The others are probed now and then, slow ones more often.
 */
export class Prober {
  readonly #keys = new WeakMap<Member, KeyId>();
  readonly #underWay = new Map<Member, Promise<void>>();
  readonly #probedAt = new WeakMap<Member, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(private readonly fleet: ProbedFleet) {
    this.#timer = setInterval(() => this.#tick(), tickMilliseconds).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Probes one member for its state alone. */
  probeSoon(member: Member): void {
    // Whoever waits for the outcome uses `probe`; here it shows in the member's state.
    this.probe(member).catch(() => undefined);
  }

  /** Probes one member now, or joins the probe that is under way. @throws {HsmError} why it did not pass */
  probe(member: Member): Promise<void> {
    const underWay = this.#underWay.get(member);
    if (underWay !== undefined) return underWay;
    const probe = this.#probe(member).finally(() => this.#underWay.delete(member));
    this.#underWay.set(member, probe);
    return probe;
  }

  async #probe(member: Member): Promise<void> {
    this.#probedAt.set(member, performance.now());
    const { hasRoom } = member;
    try {
      const keyId = this.#keys.get(member) ?? (await this.#findOrMakeKey(member));
      const started = performance.now();
      if (keyId === undefined) await this.#call(member, 'random', { byteLength: 16 });
      else await this.#sign(member, keyId);
      if (isFastAgain(member, performance.now() - started)) member.forgetLatency();
      member.passedProbe();
    } catch (error) {
      // Perhaps the key itself is gone.
      this.#keys.delete(member);
      // Where there was room for it the token has it; elsewhere it says nothing that it waited.
      if (hasRoom && (error as HsmError).code === 'ERR_HSM_TIMEOUT') member.breaker.failed(performance.now(), true);
      throw error;
    }
  }

  async #sign(member: Member, keyId: KeyId): Promise<void> {
    const what = { scheme: 'ecdsa-sha256', input: 'message', format: 'der', verify: true } as const;
    await this.#call(member, 'sign', { keyId, ...what, data: randomBytes(32) });
    this.#keys.set(member, keyId);
  }

  /** @returns undefined where no such key can be made: without ECDSA, without room, without the right to write */
  async #findOrMakeKey(member: Member): Promise<KeyId | undefined> {
    // Processes that start together may each make one: any of them serves.
    const [found] = await this.#call(member, 'findKeys', { label: probeKeyLabel, usage: 'sign' });
    if (found !== undefined) return found.id;
    const key = { label: probeKeyLabel, algorithm: 'ec-p256', usage: 'sign', extractable: false } as const;
    try {
      return (await this.#call(member, 'generateKey', { ...key, id: randomBytes(16).toString('hex') as KeyId })).id;
    } catch (error) {
      if (keylessCodes.has((error as HsmError).code)) return undefined;
      throw error;
    }
  }

  #call<V extends FleetVerb>(member: Member, verb: V, request: Request<V>): Promise<Answer<V>> {
    return this.fleet.callOn(member, verb, request, { deadlineMilliseconds, purpose: 'probe' });
  }

  #tick(): void {
    const { members } = this.fleet;
    const now = performance.now();
    for (const member of members) {
      if (members.length > 1 && member.isReachable && this.#isDue(member, now)) this.probeSoon(member);
    }
  }

  #isDue(member: Member, now: number): boolean {
    if (member.state === 'probation') return !member.breaker.isOpen || member.breaker.wantsProbe(now);
    const each = isSlow(member, this.fleet.members) ? slowEachMilliseconds : soundEachMilliseconds;
    return now - (this.#probedAt.get(member) ?? 0) >= each;
  }
}

/** What it was slow for is over: its median would take long to notice, since slow members are given few calls. */
function isFastAgain({ latency }: Member, milliseconds: number): boolean {
  return latency.median !== undefined && milliseconds < latency.median / 2;
}
