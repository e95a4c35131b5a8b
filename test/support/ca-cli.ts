import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../dist/apps/cli/main.js', import.meta.url));

export interface CliAnswer {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The built `nest-hsm` as a process of its own. */
export function nestHsm(...args: string[]): CliAnswer {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** The same, which must end with 0. @returns what it said */
export function nestHsmSays(...args: string[]): string {
  const { status, stdout, stderr } = nestHsm(...args);
  if (status !== 0)
    throw new Error(`nest-hsm ${args.join(' ')}: want exit code 0, got ${status}\n${stdout}\n${stderr}`);
  return stdout;
}
