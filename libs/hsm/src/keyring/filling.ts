/**
 * A sealed key comes to members that lack it: new ones, and those that lost it. Which members are being given it is on the disk
 * before the first of them is, so that whatever ends this process, the next start shows that they hold it or destroys what they
 * have of it.
 */
import type { Recipient } from '../agent/protocol.js';
import { HsmError } from '../errors.js';
import type { EnrolledMember } from './enrolment.js';
import type { Keyring } from './keyring.js';
import { type KeyringRecord, maximumForms } from './keyring-record.js';
import { destroyOn, importOn, type Opening } from './member-import.js';
import { requirePossession } from './possession.js';
import { formsFor, openFor, withoutForm } from './recovery-form.js';
import type { ReplicationMember } from './replication-member.js';

/**
 * Gives a sealed key to these members, and to the recovery keys that it was not left to. Only inside `keyring.locked`.
 * @returns its record, with each of them that was shown to hold it
 * @throws {HsmError} what the first member said that could not take it in; the record names the others
 */
export async function fill(
  keyring: Keyring,
  record: KeyringRecord,
  holders: readonly EnrolledMember[],
  recovery: readonly Recipient[],
  open: Opening,
): Promise<KeyringRecord> {
  const missing = withoutForm(recovery, record.recovery);
  const { transfers, forms } = await openFor(open, holders, missing);
  const hasRoom = record.recovery.length + forms.length <= maximumForms;
  const kept = hasRoom ? record.recovery : formsFor(recovery, record.recovery);
  const doubted = record.filling ?? [];
  const filling = [...new Set([...doubted, ...holders.map(({ member }) => member.name)])];
  const begun = await keyring.write({ ...record, filling, recovery: [...kept, ...forms] });
  const outcomes = await Promise.allSettled(
    holders.map(async (holder, index) => {
      await importOn(begun, holder, transfers[index]);
      await requirePossession(holder.member, begun);
    }),
  );
  const failures = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason as Error] : []));
  const members = holders.map(({ member }) => member);
  // Of a refusal before anything was begun nothing is left, and what carries the id there is not ours to destroy.
  const untouched = members.filter(({ name }, index) => isRefusal(outcomes[index]) && !doubted.includes(name));
  const proven = members.filter((_, index) => outcomes[index].status === 'fulfilled');
  const doubtful = members.filter((member) => !untouched.includes(member) && !proven.includes(member));
  const done = await keyring.write(filled(begun, proven, untouched));
  if (failures.length === 0) return done;
  await settleFilling(keyring, done, doubtful);
  throw failures[0];
}

/**
 * What became of members that were being given a key: those that hold it are its members, on the others it is destroyed.
 * @returns whether all of them could be asked
 */
export async function settleFilling(
  keyring: Keyring,
  record: KeyringRecord,
  members: readonly ReplicationMember[],
): Promise<boolean> {
  const { filling = [] } = record;
  if (filling.length === 0) return true;
  const asked = members.filter(({ name }) => filling.includes(name));
  const verdicts = await Promise.all(asked.map((member) => verdict(member, record)));
  const proven = asked.filter((_, index) => verdicts[index] === 'holds it');
  const unsettled = filling.filter((name) => {
    const index = asked.findIndex((member) => member.name === name);
    return index < 0 || verdicts[index] === 'unknown';
  });
  if (unsettled.length === filling.length) return false;
  await keyring.write({
    ...record,
    members: [...new Set([...record.members, ...proven.map(({ name }) => name)])],
    filling: unsettled.length === 0 ? undefined : unsettled,
  });
  return unsettled.length === 0;
}

async function verdict(member: ReplicationMember, record: KeyringRecord): Promise<'holds it' | 'lacks it' | 'unknown'> {
  if (!member.isReachable) return 'unknown';
  try {
    await requirePossession(member, record);
    return 'holds it';
  } catch {
    return (await destroyOn(member, record)) ? 'lacks it' : 'unknown';
  }
}

function filled(
  record: KeyringRecord,
  proven: readonly ReplicationMember[],
  untouched: readonly ReplicationMember[],
): KeyringRecord {
  const members = [...new Set([...record.members, ...proven.map(({ name }) => name)])];
  const settled = [...proven, ...untouched].map(({ name }) => name);
  const filling = (record.filling ?? []).filter((name) => !settled.includes(name));
  return { ...record, members, filling: filling.length === 0 ? undefined : filling };
}

function isRefusal(outcome: PromiseSettledResult<void>): boolean {
  return (
    outcome.status === 'rejected' &&
    outcome.reason instanceof HsmError &&
    outcome.reason.code === 'ERR_HSM_ARGUMENT_INVALID'
  );
}
