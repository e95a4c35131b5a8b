import { spawnSync } from 'node:child_process';
import { Stop } from '../workspace/stop.mjs';
import { dim, say } from '../workspace/terminal.mjs';

/** Whether a program is there and works: a stub that only asks to be installed counts as missing. */
export function works(program, args = ['--version'], options = {}) {
  return spawnSync(program, args, { stdio: ['pipe', 'ignore', 'ignore'], ...options }).status === 0;
}

/**
 * Says a command, then runs it with its output shown and no standard input: nothing can wait for an answer.
 * @param shown  what to say instead, where the command's own words would puzzle its reader
 * @returns its success
 */
export function show([program, ...args], options = {}, shown = [program, ...args]) {
  say(dim(`    $ ${shown.join(' ')}`));
  const { status, error } = spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'], ...options });
  return error === undefined && status === 0;
}

/** Says nothing, runs, and fails with what the command said last. */
export function quietly(program, args, failure, options = {}) {
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    ...options,
  });
  if (error === undefined && status === 0) return stdout;
  const said = `${stdout ?? ''}${stderr ?? ''}`.trim() || error?.message || `exit code ${status}`;
  throw new Stop(`${failure}\n${said}`);
}
