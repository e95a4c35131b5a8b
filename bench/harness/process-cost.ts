import { readFileSync } from 'node:fs';

/** What /proc/PID/stat counts in: USER_HZ, 100 on every platform that Linux runs Node.js on. */
const microsecondsPerTick = 10_000;

/** CPU time that a process has used so far, all its threads together; undefined where there is no /proc. */
export function cpuMicroseconds(pid: number): number | undefined {
  const stat = read(`/proc/${pid}/stat`);
  // The command's name may itself hold spaces; user and system time are fields 14 and 15, it is the second.
  const [user, system] =
    stat
      ?.slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13) ?? [];
  return user === undefined ? undefined : (Number(user) + Number(system)) * microsecondsPerTick;
}

/** Memory of a process that is resident now; undefined where there is no /proc. */
export function residentMegabytes(pid: number): number | undefined {
  const kibibytes = /^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1];
  return kibibytes === undefined ? undefined : Number(kibibytes) / 1_024;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
