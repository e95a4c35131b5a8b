import type { PublishedCrl } from './stored-crl.js';

/** How a CRL stands: `overdue` when a new one should long be there, `lapsed` when nobody takes it any more. */
export type CrlCondition = 'fresh' | 'overdue' | 'lapsed';

/** One line of the watch that no CRL may escape. */
export interface CrlWatch extends Omit<PublishedCrl, 'der'> {
  readonly condition: CrlCondition;
  /** Of a CA that cannot sign here now: its key is elsewhere, or it cannot be loaded. */
  readonly isKept: boolean;
}

export function watched({ der: _, ...facts }: PublishedCrl, now: Date, isKept: boolean): CrlWatch {
  return { ...facts, condition: crlCondition(facts, now), isKept };
}

/** A new one is made at half time; at three quarters something is wrong. */
export function crlCondition(
  { thisUpdate, nextUpdate }: Pick<PublishedCrl, 'thisUpdate' | 'nextUpdate'>,
  now: Date,
): CrlCondition {
  if (now >= nextUpdate) return 'lapsed';
  const [start, end] = [thisUpdate.getTime(), nextUpdate.getTime()];
  return now.getTime() >= start + (end - start) * 0.75 ? 'overdue' : 'fresh';
}
