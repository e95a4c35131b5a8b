/** What concerns a key on all members at once: finding it, making it, destroying it. */
import { createPublicKey } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Answer, NewKey, Recipient } from '../agent/protocol.js';
import type { TransportAlgorithm } from '../algorithm/wrapping-algorithm.js';
import type { ParsedHsmConfig } from '../config.js';
import { HsmError } from '../errors.js';
import type { KeyDescription, KeyId, KeySelector } from '../key/key.js';
import type { FleetCallOptions } from '../fleet/call-options.js';
import type { Fleet } from '../fleet/fleet.js';
import { enrol } from './enrolment.js';
import { fleetMembers } from './fleet-members.js';
import { Keyring } from './keyring.js';
import type { KeyringRecord } from './keyring-record.js';
import { Replication } from './replication.js';

const pollMilliseconds = 50;
const settleMilliseconds = 5_000;

/** A key and the members that were asked and have it. */
export interface FleetKey extends KeyDescription {
  readonly members: readonly string[];
}

/** What a member takes keys in by. */
export interface Enrolment {
  readonly member: string;
  /** SHA-256 of its SubjectPublicKeyInfo, 64 hexadecimal digits. */
  readonly fingerprint: string;
}

export class KeyManagement {
  /**
   * Settles first what an earlier process left unfinished, as far as members can be reached.
   * @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE
   */
  static async open(config: ParsedHsmConfig, fleet: Fleet): Promise<KeyManagement> {
    const { replication: how, deadlineMilliseconds } = config;
    // The fleet may grow and shrink.
    const quorum = (): number => config.quorum ?? Math.min(2, fleet.members.length);
    if (how.mode === 'vendor') return new KeyManagement(fleet, quorum, deadlineMilliseconds);
    const terms = { quorum, recovery: how.recoveryKeys.map(recipient) };
    const replication = new Replication(await Keyring.open(how.keyring), () => fleetMembers(fleet), terms);
    const management = new KeyManagement(fleet, quorum, deadlineMilliseconds, replication);
    await management.#settle(replication);
    return management;
  }

  #settling: NodeJS.Timeout | undefined;
  #isClosed = false;

  private constructor(
    private readonly fleet: Fleet,
    private readonly quorum: () => number,
    private readonly deadlineMilliseconds: number,
    private readonly replication?: Replication,
  ) {}

  /** Leaves what is unfinished to the next start. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#settling);
  }

  /** Makes, or finds, the key by which each member takes keys in. */
  enrol(): Promise<Enrolment[]> {
    return Promise.all(
      fleetMembers(this.fleet).map(async (member) => ({ member: member.name, fingerprint: await enrol(member) })),
    );
  }

  /**
   * The keys that match on any member that serves.
   * @throws {HsmError} ERR_HSM_KEY_AMBIGUOUS when members differ about a key, and what `findKeys` of an agent throws
   */
  async find(selector: KeySelector, options: FleetCallOptions): Promise<{ keys: FleetKey[]; asked: number }> {
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

  /**
   * Makes a key on as many members as can be reached, or on one and waits until the devices have copied it to the others.
   * @throws {HsmError} ERR_HSM_KEY_NOT_REPLICATED when fewer than `quorum` have it; where devices copy it exists then
   */
  async generate(key: NewKey, options: FleetCallOptions): Promise<FleetKey> {
    const giveUpAt = performance.now() + (options.deadlineMilliseconds ?? this.deadlineMilliseconds);
    if (this.replication !== undefined && !key.extractable) {
      await this.#untilReachable(giveUpAt, options);
      return described(await this.replication.replicate(key));
    }
    const made = await this.fleet.call('generateKey', key, options);
    const { members } = this.fleet;
    if (members.length === 1) return { ...made, members: [members[0].name] };
    // A session object is on one member, and stays there.
    if (key.extractable) return { ...made, members: [] };
    for (;;) {
      const deadlineMilliseconds = Math.max(0, giveUpAt - performance.now());
      const { keys } = await this.find({ id: made.id }, { ...options, deadlineMilliseconds });
      const quorum = this.quorum();
      if (keys.length === 1 && keys[0].members.length >= quorum) return keys[0];
      if (performance.now() + pollMilliseconds > giveUpAt)
        throw notReplicated(made, keys[0]?.members.length ?? 0, quorum);
      await unlessAborted(options);
    }
  }

  /**
   * Destroys every object of the key on every member.
   * @returns how many objects were destroyed
   * @throws {HsmError} what the first member that could not do it says; the others have done it. Asked again, it is finished
   */
  async destroy(keyId: KeyId, options: FleetCallOptions): Promise<number> {
    const destroyed = await this.#destroyOnMembers(keyId, options);
    // Only now: while a member may have it, its record says so. And also when all had done it before and could not say so.
    await this.replication?.forget(keyId);
    if (destroyed === undefined)
      throw new HsmError('ERR_HSM_KEY_NOT_FOUND', `key ${keyId}: want one to destroy, got none`);
    return destroyed;
  }

  /** @returns undefined when no member had it */
  async #destroyOnMembers(keyId: KeyId, options: FleetCallOptions): Promise<number | undefined> {
    const { members } = this.fleet;
    const outcomes = await Promise.allSettled(
      members.map((member) => this.fleet.callOn(member, 'destroyKey', { keyId }, options)),
    );
    const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as HsmError] : []));
    const absent = failures.filter(({ code }) => code === 'ERR_HSM_KEY_NOT_FOUND');
    const [failure] = failures.filter((each) => !absent.includes(each));
    if (failure !== undefined) throw failure;
    if (absent.length === members.length) return undefined;
    return outcomes.reduce((sum, each) => sum + (each.status === 'fulfilled' ? each.value.destroyedObjects : 0), 0);
  }

  /** @throws {HsmError} ERR_HSM_KEY_NOT_REPLICATED when members that were asked lack a key that they should have */
  assertReplicated(key: FleetKey, asked: number): void {
    const wanted = Math.min(this.quorum(), asked);
    if (key.members.length < wanted) throw notReplicated(key, key.members.length, wanted);
  }

  /** What is settled only with members that are away is tried again until it is. */
  async #settle(replication: Replication): Promise<void> {
    const unsettled = await replication.resume();
    if (unsettled.length === 0 || this.#isClosed) return;
    const again = (): void => {
      // A keyring that became unusable meanwhile is told of by whoever writes to it.
      this.#settle(replication).catch(() => undefined);
    };
    this.#settling = setTimeout(again, settleMilliseconds).unref();
  }

  /** Members that are still starting are waited for; replication itself says what too few of them mean. */
  async #untilReachable(giveUpAt: number, options: FleetCallOptions): Promise<void> {
    const reachable = (): number => this.fleet.members.filter(({ isReachable }) => isReachable).length;
    while (reachable() < this.quorum() && performance.now() < giveUpAt) await unlessAborted(options);
  }

  async #ask(
    selector: KeySelector,
    options: FleetCallOptions,
  ): Promise<{ member: string; found: Answer<'findKeys'> }[]> {
    const { members } = this.fleet;
    if (members.length === 1) {
      return [{ member: members[0].name, found: await this.fleet.call('findKeys', selector, options) }];
    }
    const outcomes = await Promise.allSettled(
      members
        .filter(({ state }) => state === 'serving')
        .map(async (member) => {
          return { member: member.name, found: await this.fleet.callOn(member, 'findKeys', selector, options) };
        }),
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
    return [{ member: back.name, found: await this.fleet.callOn(back, 'findKeys', selector, options) }];
  }
}

async function unlessAborted({ signal }: FleetCallOptions): Promise<void> {
  try {
    await pause(pollMilliseconds, undefined, { signal });
  } catch (cause) {
    throw new HsmError('ERR_HSM_ABORTED', 'the caller aborted', { cause });
  }
}

function unreachable(): HsmError {
  return new HsmError('ERR_HSM_UNAVAILABLE', 'want a member that can be asked for its keys, got none', {
    retryable: true,
  });
}

function described({ id, label, algorithm, usage, spki, members }: KeyringRecord): FleetKey {
  const publicHalf = spki === undefined ? undefined : Buffer.from(spki, 'base64');
  return { id, label, algorithm, usage, spki: publicHalf, extractable: false, members };
}

function recipient({ publicKey, algorithm }: { publicKey: string; algorithm: TransportAlgorithm }): Recipient {
  return { spki: createPublicKey(publicKey).export({ format: 'der', type: 'spki' }), algorithm };
}

function assertSame(known: KeyDescription, key: KeyDescription, member: string): void {
  const properties = ['label', 'algorithm', 'usage', 'extractable'] as const;
  const differs = properties.find((name) => known[name] !== key[name]);
  const spkiDiffers = !Buffer.from(known.spki ?? '').equals(Buffer.from(key.spki ?? ''));
  if (differs === undefined && !spkiDiffers) return;
  const message = `key ${key.id}: want it alike on all members, got another ${differs ?? 'public key'} on ${member}`;
  throw new HsmError('ERR_HSM_KEY_AMBIGUOUS', message, { member });
}

function notReplicated({ id, label }: KeyDescription, got: number, want: number): HsmError {
  const message = `key "${label}" (${id}): want it on ${want} members before it is used, got ${got}`;
  return new HsmError('ERR_HSM_KEY_NOT_REPLICATED', message, { retryable: true });
}
