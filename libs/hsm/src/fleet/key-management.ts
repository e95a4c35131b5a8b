/** What concerns a key on all members at once: finding it, making it, destroying it. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Answer, NewKey } from '../agent/protocol.js';
import { HsmError } from '../errors.js';
import type { KeyDescription, KeyId, KeySelector } from '../key/key.js';
import type { Fleet, FleetCallOptions } from './fleet.js';

const pollMilliseconds = 50;

/** A key and the members that were asked and have it. */
export interface FleetKey extends KeyDescription {
  readonly members: readonly string[];
}

export class KeyManagement {
  constructor(
    private readonly fleet: Fleet,
    private readonly quorum: number,
    private readonly deadlineMilliseconds: number,
  ) {}

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
   * Makes a key on one member and waits until the devices have copied it to the others.
   * @throws {HsmError} ERR_HSM_KEY_NOT_REPLICATED when they have not within the deadline; the key exists then
   */
  async generate(key: NewKey, options: FleetCallOptions): Promise<FleetKey> {
    const giveUpAt = performance.now() + (options.deadlineMilliseconds ?? this.deadlineMilliseconds);
    const made = await this.fleet.call('generateKey', key, options);
    const { members } = this.fleet;
    if (members.length === 1) return { ...made, members: [members[0].name] };
    // A session object is on one member, and stays there.
    if (key.extractable) return { ...made, members: [] };
    for (;;) {
      const { keys } = await this.find({ id: made.id }, options);
      if (keys.length === 1 && keys[0].members.length >= this.quorum) return keys[0];
      if (performance.now() > giveUpAt) throw notReplicated(made, keys[0]?.members.length ?? 0, this.quorum);
      await pause(pollMilliseconds, undefined, { signal: options.signal });
    }
  }

  /**
   * Destroys every object of the key on every member.
   * @returns how many objects were destroyed
   * @throws {HsmError} what the first member that could not do it says; the others have done it. Asked again, it is finished
   */
  async destroy(keyId: KeyId, options: FleetCallOptions): Promise<number> {
    const { members } = this.fleet;
    if (members.length === 1) return (await this.fleet.call('destroyKey', { keyId }, options)).destroyedObjects;
    const outcomes = await Promise.allSettled(
      members.map((member) => this.fleet.callOn(member, 'destroyKey', { keyId }, options)),
    );
    const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as HsmError] : []));
    const absent = failures.filter(({ code }) => code === 'ERR_HSM_KEY_NOT_FOUND');
    const [failure] = failures.filter((each) => !absent.includes(each));
    if (failure !== undefined) throw failure;
    if (absent.length === members.length) throw absent[0];
    return outcomes.reduce((sum, each) => sum + (each.status === 'fulfilled' ? each.value.destroyedObjects : 0), 0);
  }

  /** @throws {HsmError} ERR_HSM_KEY_NOT_REPLICATED when members that were asked lack a key that they should have */
  assertReplicated(key: FleetKey, asked: number): void {
    const wanted = Math.min(this.quorum, asked);
    if (key.members.length < wanted) throw notReplicated(key, key.members.length, wanted);
  }

  async #ask(
    selector: KeySelector,
    options: FleetCallOptions,
  ): Promise<{ member: string; found: Answer<'findKeys'> }[]> {
    const serving = this.fleet.members.filter(({ state }) => state === 'serving');
    if (serving.length <= 1) {
      // Whoever serves first answers for all.
      const found = await this.fleet.call('findKeys', selector, options);
      return [{ member: serving[0]?.name ?? '', found }];
    }
    const outcomes = await Promise.allSettled(
      serving.map(async (member) => {
        return { member: member.name, found: await this.fleet.callOn(member, 'findKeys', selector, options) };
      }),
    );
    const answers = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    if (answers.length === 0) throw (outcomes[0] as PromiseRejectedResult).reason;
    return answers;
  }
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
