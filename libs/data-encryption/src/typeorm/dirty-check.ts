import { equalValues } from '../value-encoding.js';
import type { Installation } from './installation.js';
import type { SubjectInternals } from './internals.js';

/**
 * `SubjectChangedColumnsComputer.computeDiffColumns`: TypeORM compares by the column's database type, which is text here, and so
 * takes a Date or an object for changed. What encrypts to the same plaintext is unchanged.
 */
export function computeDiffColumns(
  installation: Installation,
  _: object,
  original: () => void,
  subject: SubjectInternals,
): void {
  original();
  const { entity, databaseEntity, metadata } = subject;
  const ciphers = installation.entity(metadata)?.ciphers;
  if (ciphers === undefined || entity === undefined || databaseEntity === undefined) return;
  const isUnchanged = (column: (typeof subject.diffColumns)[number]) => {
    const cipher = ciphers.get(column);
    const [left, right] = [entity, databaseEntity].map((each) => column.getEntityValue(each) as unknown);
    return cipher !== undefined && left !== null && right !== null && equalValues(cipher.identity.type, left, right);
  };
  const unchanged = new Set(subject.diffColumns.filter(isUnchanged));
  remove(subject.diffColumns, (column) => unchanged.has(column));
  remove(subject.changeMaps, ({ column }) => column !== undefined && unchanged.has(column));
}

function remove<T>(items: T[], isRemoved: (item: T) => boolean): void {
  const kept = items.filter((item) => !isRemoved(item));
  items.splice(0, items.length, ...kept);
}
