import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Stop } from './stop.mjs';

/**
 * Holds a lock for the life of this process, so that two terminals do not do one thing at once.
 * The lock of a process that has died is taken over.
 * @param lock  a path
 * @param doing  what the holder does, for the sentence that the other one gets
 */
export function holdLock(lock, doing) {
  const { entry, holder } = take(lock);
  if (entry === undefined) {
    throw new Stop(`${doing} already, in process ${holder}: end that one first (lock ${lock}).`);
  }
  process.once('exit', () => release(lock, entry));
}

/** Does a piece of work while holding a lock, once whoever else holds it has done theirs. */
export async function withLock(lock, work) {
  let entry;
  while ((entry = take(lock).entry) === undefined) await sleep(100);
  try {
    return await work();
  } finally {
    release(lock, entry);
  }
}

/**
 * A lock is a directory with one entry, named after its holder and after nothing else that ever was. It gets its name with the
 * entry in it: rename(2) replaces an empty directory and none that is not, so of all who find the lock free one gets it. A dead
 * holder's entry is removed by its name, which harms nobody who has taken the lock meanwhile.
 * @returns our entry when the lock is ours now, else the process that holds it
 */
function take(lock) {
  const entry = `${process.pid}-${randomUUID()}`;
  const ours = `${lock}.${entry}`;
  mkdirSync(dirname(lock), { recursive: true, mode: 0o700 });
  mkdirSync(ours);
  writeFileSync(join(ours, entry), '');
  try {
    while (!named(ours, lock)) {
      const [theirs] = entriesOf(lock);
      const holder = theirs && holderOf(theirs);
      if (holder !== undefined) return { holder };
      if (theirs !== undefined) rmSync(join(lock, theirs), { force: true });
    }
    return { entry };
  } finally {
    rmSync(ours, { recursive: true, force: true });
  }
}

function release(lock, entry) {
  rmSync(join(lock, entry), { force: true });
  try {
    rmdirSync(lock);
  } catch (error) {
    // It is somebody else's by now, or gone with all the rest.
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(error.code)) throw error;
  }
}

function named(ours, lock) {
  try {
    renameSync(ours, lock);
    return true;
  } catch (error) {
    if (error.code === 'ENOTEMPTY' || error.code === 'EEXIST') return false;
    throw error;
  }
}

function entriesOf(lock) {
  try {
    return readdirSync(lock);
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}

/** @returns undefined when that process has died */
function holderOf(entry) {
  const pid = Number.parseInt(entry, 10);
  try {
    // Process 0 would be our own group.
    if (pid > 0) process.kill(pid, 0);
    return pid > 0 ? pid : undefined;
  } catch (error) {
    return error.code === 'EPERM' ? 'of another user' : undefined;
  }
}
