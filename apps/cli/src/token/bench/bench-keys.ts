/** The keys of measurements: known by their labels, so that those of a run that was killed are found. */
import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { type Hsm, type HsmKey, measurementKeyPrefix } from '@nest-hsm/hsm';
import type { OperationName } from './operation.js';

const ownPrefix = 'nest-hsm-';
const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
const atOnce = 16;

export function benchLabel(operation: OperationName): string {
  return `${measurementKeyPrefix}${host}-${process.pid}-${operation}`;
}

/** Those of a measurement of this host whose process is gone, or of this one. */
export function isLeftOver({ label }: HsmKey): boolean {
  const [, onHost, pid] = /^nest-hsm-bench-([0-9a-f]{8})-(\d+)-/.exec(label) ?? [];
  return onHost === host && (Number(pid) === process.pid || !isRunning(Number(pid)));
}

/** Whether somebody else relies on it. */
export function isOfApplication({ label }: HsmKey): boolean {
  return !label.startsWith(ownPrefix);
}

/** @returns how many there were */
export async function destroyLeftOver(hsm: Hsm): Promise<number> {
  const keys = (await hsm.listKeys()).filter(isLeftOver);
  const rest = [...keys];
  const worker = async (): Promise<void> => {
    for (let key = rest.pop(); key !== undefined; key = rest.pop()) await hsm.destroyKey(key);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return keys.length;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
