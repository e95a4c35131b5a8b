import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Stop } from './stop.mjs';

/**
 * Holds a file for the life of this process, so that two terminals do not do one thing at once.
 * The file of a process that has died is taken over.
 * @param doing  what the holder does, for the sentence that the other one gets
 */
export function holdLock(file, doing) {
  const holder = take(file);
  if (holder !== undefined) {
    throw new Stop(`${doing} already, in process ${holder}: end that one first (lock ${file}).`);
  }
  process.once('exit', () => rmSync(file, { force: true }));
}

/** Does a piece of work while holding a file, once whoever else holds it has done theirs. */
export async function withLock(file, work) {
  while (take(file) !== undefined) await sleep(100);
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

/** @returns undefined when the file is ours now, else the process that holds it */
function take(file) {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  // Written first and named afterwards: nobody ever reads a lock without its holder.
  const ours = `${file}.${process.pid}`;
  writeFileSync(ours, `${process.pid}\n`);
  try {
    while (!named(ours, file)) {
      const holder = holderOf(file);
      if (holder !== undefined) return holder;
      rmSync(file, { force: true });
    }
    return undefined;
  } finally {
    rmSync(ours, { force: true });
  }
}

function named(ours, file) {
  try {
    linkSync(ours, file);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function holderOf(file) {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    // Process 0 would be our own group: an empty lock file is a dead one.
    if (!Number.isInteger(pid) || pid <= 0) return undefined;
    process.kill(pid, 0);
    return pid;
  } catch (error) {
    return error.code === 'EPERM' ? 'of another user' : undefined;
  }
}
