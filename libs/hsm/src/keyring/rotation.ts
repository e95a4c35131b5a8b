/** Keys get successors: when that is due, and how it is done so that there is a usable key at any moment. */
import type { RotationRule } from '../config.js';
import { HsmError } from '../errors.js';
import type { FleetCallOptions } from '../fleet/call-options.js';
import type { HsmKey } from '../key/key.js';
import { newestFirst, nextKeyId } from '../key/key-version.js';
import { matchesLabel } from '../key/label-pattern.js';
import { withProcessLock } from '../process-lock.js';
import type { FleetKey, KeyManagement } from './key-management.js';

const dayMilliseconds = 86_400_000;
/** Keys of ours, which nobody but us looks up. */
const reservedPrefix = 'nest-hsm-';

/** How old a key is, and how old it may get. */
export interface KeyAge {
  readonly key: HsmKey;
  /** Absent when the key's id does not say when it was made. */
  readonly ageDays?: number;
  /** By the schedule; absent when it has no rule for this label, or the key has a successor. */
  readonly maximumAgeDays?: number;
  /** Whether a successor should be made. One whose age nobody knows is due where there is a rule. */
  readonly isDue: boolean;
}

export function keyAges(keys: readonly HsmKey[], schedule: readonly RotationRule[], now = new Date()): KeyAge[] {
  const newest = new Map(
    newestFirst(keys)
      .toReversed()
      .map((key) => [key.label, key]),
  );
  return keys.map((key) => {
    const ageDays = key.madeOn === undefined ? undefined : daysBetween(key.madeOn, now);
    const rule = newest.get(key.label) === key && schedule.find(({ label }) => matchesLabel(label, key.label));
    const maximumAgeDays = rule ? rule.maximumAgeDays : undefined;
    const isDue = maximumAgeDays !== undefined && (ageDays === undefined || ageDays >= maximumAgeDays);
    return { key, ageDays, maximumAgeDays, isDue };
  });
}

function daysBetween(day: string, now: Date): number {
  return Math.max(0, Math.floor((now.getTime() - Date.parse(day)) / dayMilliseconds));
}

/**
 * Makes the version that follows the newest. Until it is on enough members the one before it is the newest that can be used.
 * Of processes on one host that do so at the same moment one makes it and the others get the same; on several hosts each makes
 * one, and they are ordered.
 * @param lock  a file that these processes share
 * @param newest  finds the newest usable version
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID for keys of the library's own, and what finding and generating throw
 */
export async function rotate(
  keys: KeyManagement,
  label: string,
  lock: string,
  newest: () => Promise<FleetKey>,
  options: FleetCallOptions,
): Promise<FleetKey> {
  if (label.startsWith(reservedPrefix)) {
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `key "${label}": want one of the application, got one of nest-hsm`);
  }
  const seen = await newest();
  return withProcessLock(lock, async () => {
    const current = await newest();
    if (current.id !== seen.id) return current;
    // One that was left on too few members has its number already.
    const [last] = newestFirst((await keys.find({ label }, options)).keys);
    const { algorithm, usage } = current;
    return keys.generate({ id: nextKeyId(last), label, algorithm, usage, extractable: false }, options);
  });
}
