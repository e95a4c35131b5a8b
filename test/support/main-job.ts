import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { runProcess, type ScratchWorkspace } from './scratch-workspace.js';

/** `npm start` in a workspace of its own, until it says that it stays up. */
export class MainJob {
  said = '';
  readonly ended: Promise<number | null>;

  static async up(workspace: ScratchWorkspace): Promise<MainJob> {
    workspace.link('node_modules', 'dist', 'libs', 'apps', 'package.json');
    const setUp = `import { ensureUserToken, ensureTokens } from './scripts/setup/tokens.mjs';
      import { findPkcs11Module } from './scripts/setup/pkcs11-module.mjs';
      ensureTokens(process.execPath, findPkcs11Module());
      ensureUserToken();`;
    workspace.write('set-up.mjs', setUp);
    const { code, stderr } = await runProcess(process.execPath, ['set-up.mjs'], { cwd: workspace.root });
    if (code !== 0) throw new Error(`set-up: want it to succeed, got ${stderr}`);
    const job = new MainJob(
      spawn(process.execPath, ['scripts/start.mjs'], { cwd: workspace.root, stdio: ['ignore', 'pipe', 'pipe'] }),
    );
    const invited = job.until(() => job.said.includes('stays up until Ctrl-C'));
    await Promise.race([invited, job.ended]);
    if (!job.said.includes('stays up until Ctrl-C')) throw new Error(`npm start: want it up, got ${job.said}`);
    return job;
  }

  private constructor(readonly process: ChildProcess) {
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.setEncoding('utf8').on('data', (chunk: string) => (this.said += chunk));
    }
    this.ended = new Promise((resolve) => this.process.once('exit', resolve));
  }

  async until(condition: () => boolean): Promise<void> {
    for (let waited = 0; waited < 240_000 && !condition(); waited += 50) await sleep(50);
  }
}

/** `PID ARGUMENTS` of each process that has a path of the workspace in its arguments or environment: applications and agents. */
export function processesOf(workspace: ScratchWorkspace): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const [command, environment] = ['cmdline', 'environ'].map((name) => readFileSync(`/proc/${pid}/${name}`, 'utf8'));
      const isOurs = [command, environment].some((text) => text.includes(workspace.root));
      return isOurs ? [`${pid} ${command.replaceAll('\0', ' ')}`] : [];
    } catch {
      return [];
    }
  });
}

/** Whatever a failed test has left running. */
export async function endAllOf(workspace: ScratchWorkspace): Promise<void> {
  for (let left = processesOf(workspace); left.length > 0; left = processesOf(workspace)) {
    for (const found of left) killIfThere(parseInt(found, 10));
    await sleep(50);
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone meanwhile.
  }
}
