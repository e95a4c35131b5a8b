import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeIdentity } from './identity.js';

export const driver = fileURLToPath(new URL('driver.mjs', import.meta.url));
if (!existsSync(new URL('../dist/index.js', import.meta.url)))
  throw new Error('want the built library (node scripts/build.mjs)');

export interface DriverTask {
  readonly certificate: string;
  readonly privateKey: string;
  /** Clients that leave while their signature is made; a sixth of them once more before. */
  readonly aborts: number;
  /** Rounds of handshakes, echoes and garbage. */
  readonly rounds: number;
}

export interface DriverReport {
  readonly liveSessions: number;
  readonly pausedJobs: number;
  readonly aborted: number;
  /** What the resident set grew by during the second pass. */
  readonly grownBytes: number;
  readonly node: string;
  /** Paths of what the dynamic linker has loaded, addons included. */
  readonly sharedObjects: readonly string[];
}

export function newTask(aborts: number, rounds: number): DriverTask {
  const { certificatePem, privateKey } = makeIdentity('ed25519');
  return {
    certificate: certificatePem,
    privateKey: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    aborts,
    rounds,
  };
}

/** Runs the driver in a process of its own. @throws with its output when it fails */
export async function drive(
  task: DriverTask,
  options: { node?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<DriverReport> {
  const { stdout } = await promisify(execFile)(
    options.node ?? process.execPath,
    ['--expose-gc', driver, JSON.stringify(task)],
    { env: { ...process.env, NODE_OPTIONS: '', ...options.env }, maxBuffer: 16 * 1024 * 1024 },
  );
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as DriverReport;
}
