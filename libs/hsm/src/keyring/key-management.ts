/** What concerns a key on all members at once, and what both ways of having keys on several members share. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Answer, NewKey, Request } from '../agent/protocol.js';
import type { ParsedHsmConfig } from '../config.js';
import { HsmError } from '../errors.js';
import type { FleetCallOptions } from '../fleet/call-options.js';
import type { Fleet } from '../fleet/fleet.js';
import type { Member } from '../fleet/member.js';
import type { KeyDescription, KeyId, KeySelector } from '../key/key.js';

/** How often it is looked again. */
export const pollMilliseconds = 50;

/** A key and the members that were asked and have it. */
export interface FleetKey extends KeyDescription {
  readonly members: readonly string[];
}

export interface FoundKeys {
  readonly keys: readonly FleetKey[];
  /** How many members answered. */
  readonly asked: number;
}

/** Keys that are on all members: copied by the devices (`VendorKeys`), or wrapped for each (`WrappedKeys`). */
export interface KeyManagement {
  /**
   * The keys that match on any member that serves.
   * @throws {HsmError} ERR_HSM_KEY_AMBIGUOUS when members differ about a key, and what `findKeys` of an agent throws
   */
  find(selector: KeySelector, options: FleetCallOptions): Promise<FoundKeys>;

  /** @throws {HsmError} ERR_HSM_KEY_NOT_REPLICATED when fewer than `quorum` have it */
  generate(key: NewKey, options: FleetCallOptions): Promise<FleetKey>;

  /** Of keys that were found, those that may be used. */
  usable(keys: readonly FleetKey[]): Promise<readonly FleetKey[]>;

  /** Members, of this fleet or not, that are known to have the key or may have it. */
  holders(id: KeyId): Promise<readonly string[]>;

  /** Once a key is destroyed: what it could be had from again goes with it. */
  forget(id: KeyId): Promise<void>;

  /** Leaves what is unfinished to the next start. */
  close(): void;
}

/** What is asked of every member, however keys come to them. */
export class MemberKeys {
  constructor(
    readonly fleet: Fleet,
    private readonly config: Pick<ParsedHsmConfig, 'quorum' | 'deadlineMilliseconds'>,
  ) {}

  /** The fleet may grow and shrink. */
  get quorum(): number {
    return this.config.quorum ?? Math.min(2, this.fleet.members.length);
  }

  /** On the clock of performance.now(). */
  giveUpAt({ deadlineMilliseconds = this.config.deadlineMilliseconds }: FleetCallOptions): number {
    return performance.now() + deadlineMilliseconds;
  }

  /** As KeyManagement.find. */
  async find(selector: KeySelector, options: FleetCallOptions): Promise<FoundKeys> {
    const answers = await this.#ask(selector, options);
    const keys = new Map<KeyId, FleetKey>();
    for (const { member, found } of answers) {
      for (const key of found) {
        const known = keys.get(key.id);
        if (known !== undefined) assertSame(known, key, member);
        keys.set(key.id, { ...key, members: [...(known?.members ?? []), member] });
      }
    }
    return { keys: [...keys.values()], asked: answers.length };
  }

  /** Makes a key on whichever member is best. Which one that was is known where there is but one. */
  async generateOnOne(key: NewKey, options: FleetCallOptions): Promise<FleetKey> {
    const made = await this.fleet.call('generateKey', key, options);
    const { members } = this.fleet;
    return { ...made, members: members.length === 1 ? [members[0].name] : [] };
  }

  /** Whether as many of those that were asked have it as must. */
  isReplicated(key: FleetKey, asked: number): boolean {
    return key.members.length >= Math.min(this.quorum, asked);
  }

  async #ask(
    selector: KeySelector,
    options: FleetCallOptions,
  ): Promise<{ member: string; found: readonly KeyDescription[] }[]> {
    const { members } = this.fleet;
    if (members.length === 1) {
      const call: FindKeys = (request, how) => this.fleet.call('findKeys', request, how);
      return [{ member: members[0].name, found: await this.#everyPage(call, selector, options) }];
    }
    const outcomes = await Promise.allSettled(
      members.filter(({ state }) => state === 'serving').map((member) => this.#askOne(member, selector, options)),
    );
    const failures = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason as HsmError] : []));
    const verdict = failures.find(({ fault }) => fault === 'caller' || fault === 'policy');
    if (verdict !== undefined) throw verdict;
    const answers = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    if (answers.length > 0) return answers;
    // Whichever member is back first is asked to serve; then it is asked again, so that it is known which one it was.
    await this.fleet.call('random', { byteLength: 1 }, options);
    const [back] = members.filter(({ isReachable }) => isReachable);
    if (back === undefined) throw failures[0] ?? unreachable();
    return [await this.#askOne(back, selector, options)];
  }

  async #askOne(
    member: Member,
    selector: KeySelector,
    options: FleetCallOptions,
  ): Promise<{ member: string; found: readonly KeyDescription[] }> {
    const call: FindKeys = (request, how) => this.fleet.callOn(member, 'findKeys', request, how);
    return { member: member.name, found: await this.#everyPage(call, selector, options) };
  }

  /** One page after the other; however many there are, together they take no longer than the caller waits. */
  async #everyPage(call: FindKeys, selector: KeySelector, options: FleetCallOptions): Promise<KeyDescription[]> {
    const giveUpAt = this.giveUpAt(options);
    const found: KeyDescription[] = [];
    for (let after: string | undefined; ;) {
      const deadlineMilliseconds = Math.max(0, giveUpAt - performance.now());
      const page = await call({ ...selector, after }, { ...options, deadlineMilliseconds });
      found.push(...page);
      if (page.next === undefined) return found;
      after = page.next;
    }
  }
}

type FindKeys = (request: Request<'findKeys'>, options: FleetCallOptions) => Promise<Answer<'findKeys'>>;

/** A moment, before looking again. @throws {HsmError} ERR_HSM_ABORTED */
export async function unlessAborted({ signal }: FleetCallOptions): Promise<void> {
  try {
    await pause(pollMilliseconds, undefined, { signal });
  } catch (cause) {
    throw new HsmError('ERR_HSM_ABORTED', 'the caller aborted', { cause });
  }
}

export function notReplicated({ id, label }: KeyDescription, got: number, want: number): HsmError {
  const message = `key "${label}" (${id}): want it on ${want} members before it is used, got ${got}`;
  return new HsmError('ERR_HSM_KEY_NOT_REPLICATED', message, { retryable: true });
}

export function notFoundAnywhere(keyId: KeyId): HsmError {
  return new HsmError('ERR_HSM_KEY_NOT_FOUND', `key ${keyId}: want one to destroy, got none`);
}

function unreachable(): HsmError {
  return new HsmError('ERR_HSM_UNAVAILABLE', 'want a member that can be asked for its keys, got none', {
    retryable: true,
  });
}

function assertSame(known: KeyDescription, key: KeyDescription, member: string): void {
  const properties = ['label', 'algorithm', 'usage', 'extractable'] as const;
  const differs = properties.find((name) => known[name] !== key[name]);
  const spkiDiffers = !Buffer.from(known.spki ?? '').equals(Buffer.from(key.spki ?? ''));
  if (differs === undefined && !spkiDiffers) return;
  const message = `key ${key.id}: want it alike on all members, got another ${differs ?? 'public key'} on ${member}`;
  throw new HsmError('ERR_HSM_KEY_AMBIGUOUS', message, { member });
}
