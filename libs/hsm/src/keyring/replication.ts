import { randomBytes } from 'node:crypto';
import { fingerprint } from '../algorithm/encoding-public-key.js';
import type { Answer, KeyTransfer, NewKey, Recipient } from '../agent/protocol.js';
import { HsmError } from '../errors.js';
import type { KeyId } from '../key/key.js';
import { type EnrolledMember, enrolled } from './enrolment.js';
import type { Keyring } from './keyring.js';
import { type KeyringRecord, type RecoveryForm, toBlob } from './keyring-record.js';
import { requirePossession } from './possession.js';
import type { ReplicationMember } from './replication-member.js';

export interface ReplicationTerms {
  /** On how many members a key must be before it may be used. */
  readonly quorum: () => number;
  /** Public keys whose private halves are on recovery tokens only; without one a key cannot be restored or given to a later member. */
  readonly recovery: readonly Recipient[];
}

/** A key, and members that should hold it and do not. */
export interface MissingKey {
  readonly id: KeyId;
  readonly label: string;
  readonly members: readonly string[];
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
   * @returns its record: sealed, with the members that hold it
   * @throws {HsmError} ERR_HSM_KEY_NOT_REPLICATED | ERR_HSM_MEMBER_NOT_ENROLLED | ERR_HSM_KEYRING_UNUSABLE, or what the first
   * member said that could not do its part; then no member keeps the key, as far as each can be reached
   */
  replicate(key: Omit<NewKey, 'extractable'>): Promise<KeyringRecord> {
    return this.keyring.locked(async () => {
      const holders = await this.#enrolledMembers();
      this.#requireQuorum(key, holders.length);
      const original = { id: randomBytes(16).toString('hex') as KeyId, member: holders[0].member.name };
      const { id, label, algorithm, usage } = key;
      let record = await this.keyring.write({
        ...{ version: 1, id, label, algorithm, usage, state: 'pending', generation: 0 },
        ...{ original, members: [], recovery: [] },
      });
      try {
        const exported = await this.#makeAndExport(record, holders);
        record = await this.keyring.write(exported.record);
        const members = await this.#importOnAll(record, holders, exported.transfers);
        record = await this.keyring.write({ ...record, state: 'replicated', members });
        return await this.#seal(record);
      } catch (error) {
        // Where that fails too, the record says what is left to do.
        await this.#abandon(record).catch(() => undefined);
        throw error;
      }
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
        if (record.state === 'sealed') continue;
        // Sealed before destroyed: the record may be an old copy, and its key in use.
        const isSettled = record.members.length > 0 ? await this.#finish(record) : await this.#abandon(record);
        if (!isSettled) unsettled.push(record);
      }
      return unsettled;
    });
  }

  /** Once a key is destroyed on every member. Its recovery forms go with it. */
  forget(id: KeyId): Promise<void> {
    return this.keyring.locked(() => this.keyring.remove(id));
  }

  /** Which reachable members lack which sealed keys. */
  async missing(): Promise<readonly MissingKey[]> {
    const sealed = (await this.keyring.list()).filter(({ state }) => state === 'sealed');
    const held = await Promise.all(
      this.#reachable.map(async (member) => ({
        name: member.name,
        ids: new Set((await member.call('findKeys', {}, {})).map(({ id }) => id)),
      })),
    );
    return sealed.flatMap(({ id, label }) => {
      const members = held.filter(({ ids }) => !ids.has(id)).map(({ name }) => name);
      return members.length === 0 ? [] : [{ id, label, members }];
    });
  }

  get #reachable(): readonly ReplicationMember[] {
    return this.members().filter(({ isReachable }) => isReachable);
  }

  /** A member without a pinned fingerprint is sent nothing; one with another key stops everything. */
  #enrolledMembers(): Promise<EnrolledMember[]> {
    const pinned = this.#reachable.filter(({ fingerprint: pin }) => pin !== undefined);
    return Promise.all(pinned.map((member) => enrolled(member)));
  }

  async #makeAndExport(
    record: KeyringRecord,
    holders: readonly EnrolledMember[],
  ): Promise<{ record: KeyringRecord; transfers: readonly KeyTransfer[] }> {
    const { recovery } = this.terms;
    const [{ member }] = holders;
    const { original, label, algorithm, usage } = record;
    const keyId = (original as { id: KeyId }).id;
    const made = await member.call('generateKey', { id: keyId, label, algorithm, usage, extractable: true }, {});
    const recipients = [...holders.map(({ spki, algorithm: how }) => ({ spki, algorithm: how })), ...recovery];
    const answer = await member.call('exportKey', { keyId, recipients }, {});
    if (answer.transfers.length !== recipients.length) {
      throw new HsmError('ERR_HSM_PROTOCOL', `exportKey: want ${recipients.length}, got ${answer.transfers.length}`);
    }
    const forms = recovery.map((recipient, index) => recoveryForm(recipient, answer.transfers[holders.length + index]));
    const exported = {
      ...record,
      original: undefined,
      members: holders.map((holder) => holder.member.name),
      spki: made.spki?.toString('base64'),
      checkValue: answer.checkValue?.toString('base64'),
      recovery: forms,
    };
    return { record: exported, transfers: answer.transfers };
  }

  /** @returns the names of the members that took it in */
  async #importOnAll(
    record: KeyringRecord,
    holders: readonly EnrolledMember[],
    transfers: readonly KeyTransfer[],
  ): Promise<string[]> {
    const outcomes = await Promise.allSettled(
      holders.map((holder, index) => importOn(record, holder, transfers[index])),
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
    return this.keyring.write({ ...record, state: 'sealed', members });
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
    const names = new Set([...record.members, ...(record.original ? [record.original.member] : [])]);
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

/** An import whose outcome is unknown is undone and made once more: the member may have taken in what it did not yet check. */
async function importOn(record: KeyringRecord, holder: EnrolledMember, transfer: KeyTransfer): Promise<void> {
  const { id, label, algorithm, usage, spki, checkValue } = record;
  const { member, unwrappingKeyId, algorithm: transportAlgorithm } = holder;
  const request = {
    ...{ unwrappingKeyId, algorithm: transportAlgorithm, ...transfer },
    key: { id, label, algorithm, usage, extractable: false },
    spki: fromBase64(spki),
    checkValue: fromBase64(checkValue),
  };
  try {
    await member.call('importKey', request, {});
  } catch (error) {
    if (!(error instanceof HsmError) || error.code !== 'ERR_HSM_OUTCOME_UNKNOWN') throw error;
    if (!(await destroyOn(member, record))) throw error;
    await member.call('importKey', request, {});
  }
}

/** @returns whether the member has nothing of the key */
async function destroyOn(member: ReplicationMember, { id, original }: KeyringRecord): Promise<boolean> {
  const ids = original?.member === member.name ? [original.id, id] : [id];
  if (!member.isReachable) return false;
  try {
    for (const keyId of ids) await member.call('destroyKey', { keyId }, {}).catch(unlessAbsent);
    return true;
  } catch {
    return false;
  }
}

function unlessAbsent(error: unknown): Answer<'destroyKey'> {
  if (error instanceof HsmError && error.code === 'ERR_HSM_KEY_NOT_FOUND') return { destroyedObjects: 0 };
  throw error;
}

function recoveryForm({ spki, algorithm }: Recipient, { transport, wrapped }: KeyTransfer): RecoveryForm {
  return { fingerprint: fingerprint(spki), algorithm, transport: toBlob(transport), wrapped: toBlob(wrapped) };
}

function fromBase64(text: string | undefined): Buffer | undefined {
  return text === undefined ? undefined : Buffer.from(text, 'base64');
}
