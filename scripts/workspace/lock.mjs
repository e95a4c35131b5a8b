import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Stop } from './stop.mjs';

/**
 * Holds a file for the life of this process, so that two terminals do not do one thing at once.
 * The file of a process that has died is taken over.
 * @param doing  what the holder does, for the sentence that the other one gets
 */
export function holdLock(file, doing) {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(file, `${process.pid}\n`, { flag: 'wx' });
      process.once('exit', () => rmSync(file, { force: true }));
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      const holder = Number(readFileSync(file, 'utf8'));
      if (isAlive(holder)) throw new Stop(`${doing} already, in process ${holder}: end that one first (lock ${file}).`);
      rmSync(file, { force: true });
    }
  }
  throw new Stop(`${doing} already in another process (lock ${file}).`);
}

function isAlive(pid) {
  // Process 0 would be our own group: an empty lock file is a dead one.
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
