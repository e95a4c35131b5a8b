import { spawn } from 'node:child_process';
import { root } from '../workspace/paths.mjs';
import { Stop } from '../workspace/stop.mjs';

const timeoutMilliseconds = 120_000;

/**
 * Runs an independent tool as it is written, without a shell: words are split at white space, and what is filled in stays
 * whole, whatever it holds. From the project's folder, with no standard input, without blocking the supervisor.
 * @returns what it wrote, standard output and standard error apart
 * @throws {Stop} with what it said when it fails or takes longer than two minutes
 */
export async function tool(strings, ...values) {
  const [program, ...args] = words(strings, values);
  const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMilliseconds });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk) => (stderr += chunk));
  const how = await new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
  if (how === 0) return { stdout, stderr };
  throw new Stop(`${[program, ...args].join(' ')}\n    ended with ${how}: ${`${stdout}${stderr}`.trim()}`);
}

/** What a step has promised. @throws {Stop} saying what was wanted and what was found */
export function verify(holds, want, got) {
  if (!holds) throw new Stop(`want ${want}, got ${got}`);
}

function words(strings, values) {
  const found = [''];
  strings.forEach((text, index) => {
    const [first, ...rest] = text.split(/\s+/);
    found[found.length - 1] += first;
    found.push(...rest);
    if (index < values.length) found[found.length - 1] += values[index];
  });
  return found.filter((word) => word !== '');
}
