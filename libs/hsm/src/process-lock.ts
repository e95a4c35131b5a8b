import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { HsmError } from './errors.js';

const patienceMilliseconds = 30_000;
const retryMilliseconds = 15;

/**
 * Runs `work` while no other process of this machine holds the same lock file; whoever waits does so for half a minute.
 *
 * Node has no flock(2). SQLite's exclusive transaction is a kernel lock on an open file: it ends with its process, however
 * that dies, so there is no stale lock to recognise and break.
 * @throws {HsmError} ERR_HSM_CONFIG_INVALID | ERR_HSM_UNAVAILABLE
 */
export async function withProcessLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const database = openDatabase(path);
  try {
    await acquire(database, path);
    return await work();
  } finally {
    database.close();
  }
}

/** A lock that this process holds until it gives it back or ends. */
export interface HeldLock {
  release(): void;
}

/**
 * Takes a lock file if no other process of this machine holds it.
 * @returns undefined when one does
 * @throws {HsmError} ERR_HSM_CONFIG_INVALID
 */
export function tryProcessLock(path: string): HeldLock | undefined {
  const database = openDatabase(path);
  try {
    database.exec('BEGIN EXCLUSIVE');
    return { release: () => database.close() };
  } catch (cause) {
    database.close();
    if ((cause as { errcode?: number }).errcode === sqliteBusy) return undefined;
    throw new HsmError('ERR_HSM_CONFIG_INVALID', `lock ${path}: want to take it`, { cause });
  }
}

function openDatabase(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { timeout: 0 });
  } catch (cause) {
    throw new HsmError('ERR_HSM_CONFIG_INVALID', `lock ${path}: want to make and open it`, { cause });
  }
}

async function acquire(database: DatabaseSync, path: string): Promise<void> {
  const giveUpAt = performance.now() + patienceMilliseconds;
  for (;;) {
    try {
      database.exec('BEGIN EXCLUSIVE');
      return;
    } catch (cause) {
      if ((cause as { errcode?: number }).errcode !== sqliteBusy) {
        // A full disk, which somebody will make room on.
        const message = `lock ${path}: want to take it, got "${(cause as Error).message}"`;
        throw new HsmError('ERR_HSM_UNAVAILABLE', message, { retryable: true, cause });
      }
      if (performance.now() > giveUpAt) {
        throw new HsmError('ERR_HSM_UNAVAILABLE', `want the lock within ${patienceMilliseconds} ms`, {
          retryable: true,
          cause,
        });
      }
      await pause(retryMilliseconds);
    }
  }
}

const sqliteBusy = 5;
