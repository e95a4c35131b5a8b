/** Where one key is, and hence what a ceremony has to do about it. Nothing is changed. */
import { HsmError } from '../../errors.js';
import type { KeyDescription } from '../../key/key.js';
import type { KeyringRecord } from '../keyring-record.js';
import { withoutForm } from '../recovery-form.js';
import type { ReplicationMember } from '../replication-member.js';
import type { Destination } from './destination.js';
import type { PlannedKey } from './planned-key.js';

export interface Survey {
  readonly record: KeyringRecord;
  readonly planned: PlannedKey;
  readonly isDestroyed: boolean;
}

/** @param fingerprint  of the recovery token's key */
export async function survey(destination: Destination, fingerprint: string, wanted: KeyringRecord): Promise<Survey> {
  const { id, label, algorithm } = wanted;
  const says = (
    planned: Omit<PlannedKey, 'id' | 'label' | 'algorithm' | 'to' | 'on'> & Partial<PlannedKey>,
  ): Survey => ({
    record: wanted,
    planned: { id, label, algorithm, to: [], on: [], ...planned },
    isDestroyed: false,
  });

  const tombstone = await destination.keyring.tombstone(id);
  if (tombstone !== undefined) {
    return { ...says({ action: 'none', why: `destroyed ${tombstone.destroyed}` }), isDestroyed: true };
  }
  const known = await destination.keyring.read(id);
  if (known !== undefined && !isSameKey(known, wanted)) {
    return says({ action: 'conflict', why: 'the keyring has another key of that id' });
  }
  if (known !== undefined && known.state !== 'sealed') return says({ action: 'cannot', why: `it is ${known.state}` });

  const members = destination.members();
  const places = await Promise.all(members.map((member) => place(member, wanted)));
  const named = (where: Place): string[] =>
    members.filter((_, index) => places[index] === where).map(({ name }) => name);
  const [other] = named('another');
  if (other !== undefined) return says({ action: 'conflict', why: `${other} has another key of that id` });

  const on = named('holds it');
  const to = named('lacks it');
  const away = [...named('away'), ...named('not enrolled')];
  const later = away.length === 0 ? undefined : `another time: ${away.join(', ')} (away, or not enrolled)`;
  const forms = [...(known?.recovery ?? []), ...wanted.recovery];
  const isOpenable = forms.some((form) => form.fingerprint === fingerprint);
  const isLacking = to.length > 0 || withoutForm(destination.terms.recovery, forms).length > 0;
  if (isLacking && isOpenable) return says({ action: 'give', to, on, why: later });
  if (to.length > 0) return says({ action: 'cannot', to, on, why: 'no form of it is for this recovery token' });
  if (on.length === 0) return says({ action: 'cannot', why: later ?? 'no member can be reached' });
  const isRecorded = on.every((name) => known?.members.includes(name));
  return says({ action: isRecorded ? 'none' : 'record', on, why: later });
}

type Place = 'holds it' | 'lacks it' | 'another' | 'away' | 'not enrolled';

async function place(member: ReplicationMember, wanted: KeyringRecord): Promise<Place> {
  if (!member.isReachable) return 'away';
  try {
    const [found] = await member.call('findKeys', { id: wanted.id }, {});
    if (found !== undefined) return isOf(found, wanted) ? 'holds it' : 'another';
    return member.fingerprint === undefined ? 'not enrolled' : 'lacks it';
  } catch (error) {
    if (error instanceof HsmError && error.fault === 'caller') return 'another';
    throw error;
  }
}

/** As far as it can be seen; that it works as the key that is meant is shown when it counts. */
function isOf({ algorithm, usage, label, spki, extractable }: KeyDescription, wanted: KeyringRecord): boolean {
  const isOfKind = algorithm === wanted.algorithm && usage === wanted.usage && label === wanted.label;
  return isOfKind && !extractable && (spki?.toString('base64') ?? wanted.spki) === wanted.spki;
}

/** A record is of one key for ever: its public half, or the check value that was made when it left the first member. */
function isSameKey(known: KeyringRecord, wanted: KeyringRecord): boolean {
  const identity = ['label', 'algorithm', 'usage', 'spki', 'checkValue'] as const;
  return identity.every((name) => known[name] === wanted[name]);
}
