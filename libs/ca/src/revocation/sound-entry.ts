import { backdateMilliseconds } from '../issuance/validity.js';
import type { CrlEntry, StoredCrlEntry } from '../store/revocation-store.js';
import { revocationReasons } from './revocation-reason.js';

/** Of a row without a date: the certificate is revoked for every relying party. */
const longAgo = new Date('2000-01-01T00:00:00Z');
const endOfTime = new Date('9999-12-31T23:59:59Z');

/**
 * What a CRL can say by a row that somebody may have damaged. One bad row stops no CRL: it loses an extension that is optional; a date of
 * revocation that lies in the future, which would keep the CRL from being in force, becomes today's, and one that is none long ago.
 * @param fault  told of each thing that was wrong
 */
export function soundEntry(row: StoredCrlEntry, now: Date, fault: (what: string) => void): CrlEntry {
  const { serial, state, revokedAt } = row;
  const [reason, invalidityDate] = [soundReason(row), soundInvalidityDate(row)];
  const dated = soundRevocationDate(revokedAt, now);
  if (reason === row.reason && invalidityDate === row.invalidityDate && dated === revokedAt) return row as CrlEntry;
  if (reason !== row.reason) fault(`certificate ${serial}: want a reason of RFC 5280 §5.3.1, got another`);
  if (invalidityDate !== row.invalidityDate)
    fault(`certificate ${serial}: want an invalidity date from 1 to 9999, got ${Number(row.invalidityDate)}`);
  if (dated !== revokedAt)
    fault(`certificate ${serial}: want a revocation from 2000 until now, got ${Number(revokedAt)}`);
  return { serial, state, reason, revokedAt: dated, ...(invalidityDate && { invalidityDate }) };
}

function soundRevocationDate(revokedAt: Date, now: Date): Date {
  if (!(revokedAt >= longAgo)) return longAgo;
  // A replica's clock may be a little ahead.
  if (revokedAt.getTime() <= now.getTime() + backdateMilliseconds) return revokedAt;
  return new Date(Math.floor(now.getTime() / 1000) * 1000);
}

/** removeFromCRL is not a reason, but what becomes of a hold. */
function soundReason({ reason }: StoredCrlEntry): CrlEntry['reason'] {
  return reason === undefined || revocationReasons[reason] === revocationReasons.removeFromCRL ? 'unspecified' : reason;
}

function soundInvalidityDate({ invalidityDate }: StoredCrlEntry): Date | undefined {
  if (invalidityDate === undefined || !(invalidityDate <= endOfTime)) return undefined;
  return invalidityDate.getUTCFullYear() >= 1 ? invalidityDate : undefined;
}
