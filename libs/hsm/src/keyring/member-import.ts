/** A key arrives on one member, or leaves it. */
import type { Answer, KeyTransfer, Recipient } from '../agent/protocol.js';
import { HsmError, type HsmErrorCode } from '../errors.js';
import type { EnrolledMember } from './enrolment.js';
import type { KeyringRecord } from './keyring-record.js';
import type { ReplicationMember } from './replication-member.js';

/** Lets a key leave wherever it is, once for each recipient, in their order. */
export type Opening = (recipients: readonly Recipient[]) => Promise<readonly KeyTransfer[]>;

const undone: ReadonlySet<HsmErrorCode> = new Set(['ERR_HSM_OUTCOME_UNKNOWN', 'ERR_HSM_DECRYPTION_FAILED']);

/**
 * An import whose outcome is unknown is undone and made once more: the member may have taken in what it did not yet check. So is one
 * that the member could not unwrap, though it was wrapped for it a moment ago: SoftHSM refuses some while it signs (docs/HSMS.md).
 */
export async function importOn(
  record: KeyringRecord,
  holder: EnrolledMember,
  transfer: KeyTransfer,
  correlationId: string = record.id,
): Promise<void> {
  const { id, label, algorithm, usage, spki, checkValue } = record;
  const { member, unwrappingKeyId, algorithm: transportAlgorithm } = holder;
  const request = {
    ...{ unwrappingKeyId, algorithm: transportAlgorithm, ...transfer },
    key: { id, label, algorithm, usage, extractable: false },
    spki: fromBase64(spki),
    checkValue: fromBase64(checkValue),
  };
  const options = { correlationId };
  try {
    await member.call('importKey', request, options);
  } catch (error) {
    if (!(error instanceof HsmError) || !undone.has(error.code)) throw error;
    if (!(await destroyOn(member, record))) throw error;
    await member.call('importKey', request, options);
  }
}

/** @returns whether the member has nothing of the key */
export async function destroyOn(
  member: ReplicationMember,
  { id, original }: Pick<KeyringRecord, 'id' | 'original'>,
): Promise<boolean> {
  const ids = original?.member === member.name ? [original.id, id] : [id];
  if (!member.isReachable) return false;
  try {
    for (const keyId of ids) await member.call('destroyKey', { keyId }, { correlationId: id }).catch(unlessAbsent);
    return true;
  } catch {
    return false;
  }
}

function unlessAbsent(error: unknown): Answer<'destroyKey'> {
  if (error instanceof HsmError && error.code === 'ERR_HSM_KEY_NOT_FOUND') return { destroyedObjects: 0 };
  throw error;
}

function fromBase64(text: string | undefined): Buffer | undefined {
  return text === undefined ? undefined : Buffer.from(text, 'base64');
}
