import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Process ids of the direct children of a process, wherever in the terminal's groups they are. */
export function childrenOf(pid: number): number[] {
  return everyProcess().flatMap(({ pid: child, parent }) => (parent === pid ? [child] : []));
}

/** True while the process exists, a zombie that waits for its parent included. */
export function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The environment that a process was started with, as one text; empty when it is gone. */
export function environmentOf(pid: number): string {
  try {
    if (existsSync('/proc/self/environ')) return readFileSync(`/proc/${pid}/environ`, 'utf8');
    return execFileSync('ps', ['eww', '-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
  } catch {
    return '';
  }
}

function everyProcess(): { pid: number; parent: number }[] {
  if (existsSync('/proc/self/stat')) return readdirSync('/proc').flatMap(readProcess);
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n');
  return lines.map((line) => line.trim().split(/\s+/).map(Number)).map(([pid, parent]) => ({ pid, parent }));
}

function readProcess(name: string): { pid: number; parent: number }[] {
  if (!/^\d+$/.test(name)) return [];
  try {
    const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
    // The command's name may itself hold spaces and brackets; the parent is the second field behind it.
    return [{ pid: Number(name), parent: Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) }];
  } catch {
    // It ended between the listing and the reading.
    return [];
  }
}
