import { randomBytes } from 'node:crypto';
import type { KeyTransfer, NewKey, Recipient } from '../agent/protocol.js';
import { HsmError } from '../errors.js';
import type { KeyId } from '../key/key.js';
import { type EnrolledMember, enrolled, type KeySource } from './enrolment.js';
import { settleFilling } from './filling.js';
import type { Keyring } from './keyring.js';
import type { KeyringRecord } from './keyring-record.js';
import { destroyOn, importOn, type Opening } from './member-import.js';
import { requirePossession } from './possession.js';
import { formsFor, openFor, withoutForm } from './recovery-form.js';
import type { ReplicationMember } from './replication-member.js';

export interface ReplicationTerms {
  /** On how many members a key must be before it may be used. */
  readonly quorum: () => number;
  /** Public keys whose private halves are on recovery tokens only; without one a key cannot be restored or given to a later member. */
  readonly recovery: readonly Recipient[];
}

/**
 * Keys that are on several members whose devices do not copy them (SECURITY.md, Replication). A key is made extractable on one
 * member, leaves it once, for every member and recovery key at the same time, and is taken in non-extractable by all of them,
 * the first included. What was done is on the disk before the next step, so that whatever ends this process, the next one
 * seals what enough members hold and destroys the rest.
 */
export class Replication {
  constructor(
    private readonly keyring: Keyring,
    private readonly members: () => readonly ReplicationMember[],
    private readonly terms: ReplicationTerms,
  ) {}

  /**
   * Makes a key on every member that can be reached, at least `quorum` of them.
   * @param correlationId  the caller's, for the audit lines in which the members take it in; the key's own id when absent
   * @returns its record: sealed, with the members that hold it
   * @throws {HsmError} ERR_HSM_KEY_NOT_REPLICATED | ERR_HSM_MEMBER_NOT_ENROLLED | ERR_HSM_KEYRING_UNUSABLE, or what the first
   * member said that could not do its part; then no member keeps the key, as far as each can be reached
   */
  replicate(key: Omit<NewKey, 'extractable'>, correlationId?: string): Promise<KeyringRecord> {
    return this.keyring.locked(async () => {
      const holders = await this.#requireHolders(key);
      await this.#requireAbsent(key, holders);
      const original = { id: randomBytes(16).toString('hex') as KeyId, member: holders[0].member.name };
      const { id, label, algorithm, usage } = key;
      const record = await this.keyring.write({
        ...{ version: 1, id, label, algorithm, usage, state: 'pending', generation: 0 },
        ...{ original, members: [], recovery: [] },
      });
      return this.#takeIn(record, holders, () => this.#makeAndExport(record, holders), correlationId);
    });
  }

  /**
   * Gives a key that no member has to all that can be reached, at least `quorum` of them, by way of a recovery token.
   * @param key  what a backup or another keyring says of it
   * @param from  the recovery token, which `open` asks
   * @returns its record: sealed, with the members that hold it
   * @throws {HsmError} as `replicate`, and ERR_HSM_KEY_AMBIGUOUS when it is here already or was destroyed
   */
  reinstate(key: KeyringRecord, from: KeySource, open: Opening): Promise<KeyringRecord> {
    return this.keyring.locked(async () => {
      const holders = await this.#requireHolders(key, from);
      await this.#requireAbsent(key, holders);
      const recovery = formsFor(this.terms.recovery, key.recovery);
      const forms = { recovery, original: undefined, filling: undefined };
      const record = await this.keyring.write({ ...key, ...forms, state: 'pending', members: [] });
      return this.#takeIn(record, holders, () => this.#open(record, holders, open));
    });
  }

  /**
   * Finishes or destroys what an earlier process left unfinished. To be called at the start and when a member returns.
   * @returns the keys that it could not settle, for want of members
   */
  resume(): Promise<readonly KeyringRecord[]> {
    return this.keyring.locked(async () => {
      await this.keyring.removeLeftovers();
      const unsettled: KeyringRecord[] = [];
      for (const record of await this.keyring.list()) {
        if (!(await this.#settled(record))) unsettled.push(record);
      }
      return unsettled;
    });
  }

  /** Once a key is destroyed on every member. Its recovery forms go with it. */
  forget(id: KeyId): Promise<void> {
    return this.keyring.locked(() => this.keyring.remove(id));
  }

  get #reachable(): readonly ReplicationMember[] {
    return this.members().filter(({ isReachable }) => isReachable);
  }

  /** A member without a pinned fingerprint is sent nothing; one with another key stops everything. */
  #enrolledMembers(from?: KeySource): Promise<EnrolledMember[]> {
    const pinned = this.#reachable.filter(({ fingerprint: pin }) => pin !== undefined);
    return Promise.all(pinned.map((member) => enrolled(member, from ?? pinned[0])));
  }

  async #requireHolders(key: Pick<NewKey, 'label' | 'id'>, from?: KeySource): Promise<EnrolledMember[]> {
    const holders = await this.#enrolledMembers(from);
    this.#requireQuorum(key, holders.length);
    return holders;
  }

  /** What is undone when something fails must not be anything that was there before. */
  async #requireAbsent({ id, label }: Pick<NewKey, 'id' | 'label'>, holders: readonly EnrolledMember[]): Promise<void> {
    const known = (await this.keyring.read(id)) ?? (await this.keyring.tombstone(id));
    const found = await Promise.all(holders.map(({ member }) => member.call('findKeys', { id }, {})));
    if (known === undefined && found.every(({ length }) => length === 0)) return;
    const message = `key "${label}" (${id}): want it on no member and not in the keyring, got it there`;
    throw new HsmError('ERR_HSM_KEY_AMBIGUOUS', message);
  }

  /** From `pending`, with the transfers that `obtain` has, to `sealed`; or to nothing. */
  async #takeIn(
    pending: KeyringRecord,
    holders: readonly EnrolledMember[],
    obtain: () => Promise<{ record: KeyringRecord; transfers: readonly KeyTransfer[] }>,
    correlationId?: string,
  ): Promise<KeyringRecord> {
    let record = pending;
    try {
      const obtained = await obtain();
      record = await this.keyring.write(obtained.record);
      const members = await this.#importOnAll(record, holders, obtained.transfers, correlationId);
      record = await this.keyring.write({
        ...record,
        state: 'replicated',
        members,
        filling: doubtful(record, members),
      });
      return await this.#seal(record);
    } catch (error) {
      // Where that fails too, the record says what is left to do.
      await this.#abandon(record).catch(() => undefined);
      throw error;
    }
  }

  async #makeAndExport(
    record: KeyringRecord,
    holders: readonly EnrolledMember[],
  ): Promise<{ record: KeyringRecord; transfers: readonly KeyTransfer[] }> {
    const [{ member }] = holders;
    const { original, label, algorithm, usage } = record;
    const keyId = (original as { id: KeyId }).id;
    // In the audit trail the key that leaves has an id of its own: this ties it to the one that arrives.
    const options = { correlationId: record.id };
    const extractable = { id: keyId, label, algorithm, usage, extractable: true };
    const made = await member.call('generateKey', extractable, options);
    let checkValue: Buffer | undefined;
    const obtained = await this.#open(record, holders, async (recipients) => {
      const answer = await member.call('exportKey', { keyId, recipients }, options);
      checkValue = answer.checkValue;
      return answer.transfers;
    });
    const identity = { spki: made.spki?.toString('base64'), checkValue: checkValue?.toString('base64') };
    return { ...obtained, record: { ...obtained.record, ...identity, original: undefined } };
  }

  /** @returns what is to be recorded before the first member takes it in */
  async #open(
    record: KeyringRecord,
    holders: readonly EnrolledMember[],
    open: Opening,
  ): Promise<{ record: KeyringRecord; transfers: readonly KeyTransfer[] }> {
    const missing = withoutForm(this.terms.recovery, record.recovery);
    const { transfers, forms } = await openFor(open, holders, missing);
    const members = holders.map(({ member }) => member.name);
    return { record: { ...record, members, recovery: [...record.recovery, ...forms] }, transfers };
  }

  /** @returns the names of the members that took it in */
  async #importOnAll(
    record: KeyringRecord,
    holders: readonly EnrolledMember[],
    transfers: readonly KeyTransfer[],
    correlationId?: string,
  ): Promise<string[]> {
    const outcomes = await Promise.allSettled(
      holders.map((holder, index) => importOn(record, holder, transfers[index], correlationId)),
    );
    const members = holders.filter((_, index) => outcomes[index].status === 'fulfilled');
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    this.#requireQuorum(record, members.length, failed?.reason);
    return members.map(({ member }) => member.name);
  }

  /** Has each member that took the key in use it. @throws {HsmError} when fewer than `quorum` did */
  async #seal(record: KeyringRecord): Promise<KeyringRecord> {
    const holders = this.#reachable.filter(({ name }) => record.members.includes(name));
    const outcomes = await Promise.allSettled(holders.map((member) => requirePossession(member, record)));
    const members = holders.filter((_, index) => outcomes[index].status === 'fulfilled').map(({ name }) => name);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    this.#requireQuorum(record, members.length, failed?.reason);
    return this.keyring.write({ ...record, state: 'sealed', members, filling: doubtful(record, members) });
  }

  /** @returns whether nothing is left to do about the key */
  async #settled(record: KeyringRecord): Promise<boolean> {
    if (record.state === 'sealed') {
      // What is being destroyed is finished by whoever signs the receipt.
      const isDestroyed = (await this.keyring.tombstone(record.id)) !== undefined;
      return isDestroyed || settleFilling(this.keyring, record, this.members());
    }
    // Sealed before destroyed: the record may be an old copy, and its key in use.
    return record.members.length > 0 ? this.#finish(record) : this.#abandon(record);
  }

  /** @returns whether the key is sealed or gone */
  async #finish(record: KeyringRecord): Promise<boolean> {
    try {
      await this.#seal(record);
      return true;
    } catch (error) {
      // What a member that is away holds may yet make the quorum.
      const isAway = record.members.some((name) => !this.#reachable.some((member) => member.name === name));
      if (isAway || !(error instanceof HsmError) || error.code === 'ERR_HSM_KEYRING_UNUSABLE') return false;
      return this.#abandon(record);
    }
  }

  /**
   * Destroys what there is of a key that is not sealed. Its record goes when no member can have any of it; until then it stays
   * `pending`, and the next `resume` tries again.
   * @returns whether it is gone
   */
  async #abandon(record: KeyringRecord): Promise<boolean> {
    const { members: may, filling = [], original } = record;
    const names = new Set([...may, ...filling, ...(original ? [original.member] : [])]);
    const members = this.members().filter(({ name }) => names.has(name));
    const gone = await Promise.all(members.map((member) => destroyOn(member, record)));
    if (members.length === names.size && gone.every(Boolean)) {
      await this.keyring.remove(record.id);
      return true;
    }
    if (record.state !== 'pending') await this.keyring.write({ ...record, state: 'pending' });
    return false;
  }

  #requireQuorum({ label, id }: Pick<NewKey, 'label' | 'id'>, got: number, cause?: unknown): void {
    const quorum = this.terms.quorum();
    if (got >= quorum) return;
    const message = `key "${label}" (${id}): want it on ${quorum} members before it is used, got ${got} that can take it`;
    throw new HsmError('ERR_HSM_KEY_NOT_REPLICATED', message, { retryable: true, cause });
  }
}

/** Members that may have it, though they were not shown to: they are asked again, and until then named by `holders`. */
function doubtful({ members, filling = [] }: KeyringRecord, proven: readonly string[]): string[] | undefined {
  const names = [...new Set([...members, ...filling])].filter((name) => !proven.includes(name));
  return names.length === 0 ? undefined : names;
}
