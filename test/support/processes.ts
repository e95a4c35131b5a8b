import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

/**
 * Process ids of the direct children of a process that run, wherever in the terminal's groups they are. One that has ended and
 * that nobody waits for is none: a worker thread that is terminated leaves such behind.
 */
export function childrenOf(pid: number): number[] {
  return everyProcess().flatMap(({ pid: child, parent, state }) => (parent === pid && state !== 'Z' ? [child] : []));
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

interface Process {
  readonly pid: number;
  readonly parent: number;
  /** `Z` for one that has ended and was not waited for. */
  readonly state: string;
}

function everyProcess(): Process[] {
  if (existsSync('/proc/self/stat')) return readdirSync('/proc').flatMap(readProcess);
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,state='], { encoding: 'utf8' }).trim().split('\n');
  return lines.map((line) => {
    const [pid, parent, state] = line.trim().split(/\s+/);
    return { pid: Number(pid), parent: Number(parent), state: state.charAt(0) };
  });
}

function readProcess(name: string): Process[] {
  if (!/^\d+$/.test(name)) return [];
  try {
    const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
    // The command's name may itself hold spaces and brackets; the state and the parent are the fields behind it.
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return [{ pid: Number(name), parent: Number(parent), state }];
  } catch {
    // It ended between the listing and the reading.
    return [];
  }
}
