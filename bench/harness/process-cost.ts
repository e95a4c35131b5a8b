import { readdirSync, readFileSync } from 'node:fs';
import { childrenOf } from '../../test/support/processes.js';

/** What /proc/PID/stat counts in: USER_HZ, 100 on every platform that Linux runs Node.js on. */
const microsecondsPerTick = 10_000;

/** CPU time that a process has used so far, all its threads together, ended ones too; NaN where there is no /proc. */
export function cpuMicroseconds(pid: number): number {
  const stat = read(`/proc/${pid}/stat`) ?? '';
  // The command's name may itself hold spaces; user and system time are fields 14 and 15, it is the second.
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13);
  return (Number(user) + Number(system)) * microsecondsPerTick;
}

/** The same of a process and of everything that it has started and that still runs. */
export function cpuMicrosecondsOfTree(pid: number): number {
  return childrenOf(pid).reduce((sum, child) => sum + cpuMicrosecondsOfTree(child), cpuMicroseconds(pid));
}

/** CPU time that the threads of a process have used so far, by their names, to the nanosecond, without those that ended; empty where there is no /proc. */
export function cpuMicrosecondsByThread(pid: number): ReadonlyMap<string, number> {
  const byName = new Map<string, number>();
  for (const thread of threadsOf(pid)) {
    const name = thread === String(pid) ? 'main' : (read(`/proc/${pid}/task/${thread}/comm`)?.trim() ?? '');
    // Nanoseconds on a processor; the rest of the line is about waiting for one.
    const nanoseconds = Number(read(`/proc/${pid}/task/${thread}/schedstat`)?.split(' ')[0] ?? 0);
    byName.set(name, (byName.get(name) ?? 0) + nanoseconds / 1_000);
  }
  return byName;
}

/** Memory of a process that is resident now; undefined where there is no /proc. */
export function residentMegabytes(pid: number): number | undefined {
  const kibibytes = /^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1];
  return kibibytes === undefined ? undefined : Number(kibibytes) / 1_024;
}

/** The same of a process and of everything that it has started and that still runs; what they share is counted for each. */
export function residentMegabytesOfTree(pid: number): number | undefined {
  const own = residentMegabytes(pid);
  if (own === undefined) return undefined;
  return childrenOf(pid).reduce((sum, child) => sum + (residentMegabytesOfTree(child) ?? 0), own);
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
