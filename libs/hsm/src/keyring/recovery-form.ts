import type { KeyTransfer, Recipient } from '../agent/protocol.js';
import { fingerprint } from '../algorithm/encoding-public-key.js';
import { HsmError } from '../errors.js';
import { type RecoveryForm, toBlob } from './keyring-record.js';
import type { Opening } from './member-import.js';

export function recoveryForm({ spki, algorithm }: Recipient, { transport, wrapped }: KeyTransfer): RecoveryForm {
  return { fingerprint: fingerprint(spki), algorithm, transport: toBlob(transport), wrapped: toBlob(wrapped) };
}

/** The forms that are for these recovery keys; all of them where none is configured. */
export function formsFor(recovery: readonly Recipient[], forms: readonly RecoveryForm[]): RecoveryForm[] {
  const known = recovery.map(({ spki }) => fingerprint(spki));
  return forms.filter((form) => known.length === 0 || known.includes(form.fingerprint));
}

/** The recovery keys that a key is not left to yet. */
export function withoutForm(recovery: readonly Recipient[], forms: readonly RecoveryForm[]): Recipient[] {
  return recovery.filter(({ spki }) => !forms.some((form) => form.fingerprint === fingerprint(spki)));
}

/** Opens a key for members and recovery keys at once. */
export async function openFor(
  open: Opening,
  members: readonly Recipient[],
  recovery: readonly Recipient[],
): Promise<{ transfers: readonly KeyTransfer[]; forms: RecoveryForm[] }> {
  const transfers = await open([...members, ...recovery]);
  const want = members.length + recovery.length;
  if (transfers.length !== want) {
    throw new HsmError('ERR_HSM_PROTOCOL', `transfers: want ${want}, got ${transfers.length}`);
  }
  const forms = recovery.map((recipient, index) => recoveryForm(recipient, transfers[members.length + index]));
  return { transfers, forms };
}
