import { HsmError } from '../../errors.js';
import { enrolled } from '../enrolment.js';
import { fill } from '../filling.js';
import type { KeyringRecord } from '../keyring-record.js';
import type { Opening } from '../member-import.js';
import { requirePossession } from '../possession.js';
import { withoutForm } from '../recovery-form.js';
import type { ReplicationMember } from '../replication-member.js';
import type { Destination } from './destination.js';
import type { KeyOutcome, PlannedKey } from './planned-key.js';
import type { RecoveryToken } from './recovery-token.js';
import { type Survey, survey } from './survey.js';

/**
 * Brings keys onto the members of a fleet that lack them, by way of the recovery token: for members that joined late, from a
 * backup, or from another fleet. It is planned first and says what it would do; carrying it out does that and no more. Each key
 * is done for itself and is durable when it is done, so a ceremony that was interrupted is simply held again.
 */
export class Ceremony {
  /**
   * @param wanted  what is known of the keys that should be on the members, from whoever vouches for it
   * @param others  keys that are not brought, with why
   * @param begin  what else is to be done before the first key
   */
  static async prepare(
    destination: Destination,
    recovery: RecoveryToken,
    wanted: readonly KeyringRecord[],
    others: readonly PlannedKey[] = [],
    begin: () => Promise<void> = () => Promise.resolve(),
  ): Promise<Ceremony> {
    requireApart(destination.members(), recovery);
    const { fingerprint } = await recovery.publicKey();
    // What an interrupted ceremony left half-way is no obstacle to this one.
    await destination.replication.resume();
    const surveys: Survey[] = [];
    for (const record of wanted) surveys.push(await survey(destination, fingerprint, record));
    return new Ceremony(destination, recovery, fingerprint, surveys, others, begin);
  }

  private constructor(
    private readonly destination: Destination,
    private readonly recovery: RecoveryToken,
    private readonly fingerprint: string,
    private readonly surveys: readonly Survey[],
    private readonly others: readonly PlannedKey[],
    private readonly begin: () => Promise<void>,
  ) {}

  get plan(): readonly PlannedKey[] {
    return [...this.surveys.map(({ planned }) => planned), ...this.others];
  }

  /**
   * Does what was planned, key by key. What fails does not stop the others, unless the recovery token itself is gone.
   * @returns of each key that is to be on the members, which of them were shown to hold it
   * @throws {HsmError} ERR_HSM_RECOVERY_REFUSED when the plan has a conflict; nothing was changed then
   */
  async carryOut(): Promise<readonly KeyOutcome[]> {
    const conflict = this.plan.find(({ action }) => action === 'conflict');
    if (conflict !== undefined) {
      throw new HsmError('ERR_HSM_RECOVERY_REFUSED', `key "${conflict.label}" (${conflict.id}): ${conflict.why}`);
    }
    await this.begin();
    const outcomes: KeyOutcome[] = [];
    for (const each of this.surveys) {
      if (each.planned.action !== 'cannot' && !each.isDestroyed) outcomes.push(await this.#settle(each));
    }
    return outcomes;
  }

  async #settle({ planned, record }: Survey): Promise<KeyOutcome> {
    const { id, label } = record;
    try {
      const done = await this.#bring(planned, record);
      return { id, label, members: await this.#proven(done) };
    } catch (error) {
      if (!this.recovery.isReachable) throw error;
      return { id, label, members: [], error: error as Error };
    }
  }

  async #bring({ action, to, on }: PlannedKey, record: KeyringRecord): Promise<KeyringRecord> {
    if (action === 'give' && on.length === 0 && (await this.destination.keyring.read(record.id)) === undefined) {
      return this.destination.replication.reinstate(record, this.recovery, this.#opening(record));
    }
    return this.destination.keyring.locked(async () => {
      const known = await this.#known(record, on);
      return action === 'give' ? this.#fill(known, record, to) : known;
    });
  }

  /** What the keyring has, once whoever holds the key was asked. Without such a record, members that hold it make one. */
  async #known(wanted: KeyringRecord, on: readonly string[]): Promise<KeyringRecord> {
    const { keyring } = this.destination;
    if ((await keyring.tombstone(wanted.id)) !== undefined) throw outdated(wanted, 'it was destroyed meanwhile');
    const known = await keyring.read(wanted.id);
    if (known !== undefined && known.state !== 'sealed') throw outdated(wanted, 'it is being made or destroyed');
    const record = known ?? { ...wanted, state: 'sealed', original: undefined, filling: undefined };
    // Else whoever can change the keyring could have members use a key of his own in its place.
    const holders = this.#named(on);
    await Promise.all(holders.map((member) => requirePossession(member, record)));
    const members = [...new Set([...(known?.members ?? []), ...on])];
    const isRecorded = known !== undefined && members.length === known.members.length;
    return isRecorded ? known : keyring.write({ ...record, members });
  }

  async #fill(known: KeyringRecord, wanted: KeyringRecord, to: readonly string[]): Promise<KeyringRecord> {
    const { keyring, terms } = this.destination;
    const holders = await Promise.all(this.#named(to).map((member) => enrolled(member, this.recovery)));
    const isLacking = holders.length > 0 || withoutForm(terms.recovery, known.recovery).length > 0;
    return isLacking ? fill(keyring, known, holders, terms.recovery, this.#opening(known, wanted)) : known;
  }

  #opening(...records: readonly KeyringRecord[]): Opening {
    const [record] = records;
    const forms = records.flatMap(({ recovery }) => recovery);
    const form = forms.find(({ fingerprint }) => fingerprint === this.fingerprint);
    if (form === undefined) throw outdated(record, 'no form of it is for this recovery token');
    return (recipients) => this.recovery.transfer(record, form, recipients);
  }

  /** @throws {HsmError} what a member says that should hold it and does not */
  async #proven(record: KeyringRecord): Promise<string[]> {
    const holders = this.#named(record.members).filter(({ isReachable }) => isReachable);
    await Promise.all(holders.map((member) => requirePossession(member, record)));
    return holders.map(({ name }) => name);
  }

  #named(names: readonly string[]): ReplicationMember[] {
    return this.destination.members().filter(({ name }) => names.includes(name));
  }
}

/** A recovery key on a member's token would be under that application's PIN. @throws {HsmError} ERR_HSM_RECOVERY_REFUSED */
function requireApart(members: readonly ReplicationMember[], recovery: RecoveryToken): void {
  const same = members.find(({ token }) => token !== undefined && token.serial === recovery.token?.serial);
  if (same === undefined) return;
  const message = `recovery token: want a token of its own, got ${same.name}'s`;
  throw new HsmError('ERR_HSM_RECOVERY_REFUSED', message, { member: same.name });
}

function outdated({ label, id }: KeyringRecord, why: string): HsmError {
  return new HsmError('ERR_HSM_RECOVERY_REFUSED', `key "${label}" (${id}): ${why}`);
}
