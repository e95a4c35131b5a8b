import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

const repository = process.cwd();

/** A copy of the project's scripts with a var/ of its own; whatever else it needs is linked or written by the test. */
export class ScratchWorkspace {
  readonly root = mkdtempSync(join(tmpdir(), 'nest-hsm-workspace-'));

  constructor() {
    cpSync(join(repository, 'scripts'), join(this.root, 'scripts'), { recursive: true });
  }

  path(...parts: string[]): string {
    return join(this.root, ...parts);
  }

  /** Makes a folder or file of the repository visible here. */
  link(...names: string[]): void {
    for (const name of names) symlinkSync(join(repository, name), this.path(name));
  }

  write(name: string, content: string, mode = 0o644): void {
    mkdirSync(join(this.path(name), '..'), { recursive: true });
    writeFileSync(this.path(name), content, { mode });
  }

  /** A PATH directory with links to the named programs of this machine, and nothing else. */
  pathWith(programs: Record<string, string>): string {
    const directory = mkdtempSync(join(this.root, 'bin-'));
    for (const [name, target] of Object.entries(programs)) symlinkSync(target, join(directory, name));
    return directory;
  }

  /** Runs a script of the copy on this Node.js, with no standard input, and waits for its end. */
  run(script: string, args: string[] = [], options: { env?: NodeJS.ProcessEnv; uid?: number } = {}): Promise<Outcome> {
    return runProcess(process.execPath, [this.path('scripts', script), ...args], { cwd: this.root, ...options });
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Runs a program to its end. Its exit code is a result here, never an exception. */
export function runProcess(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; uid?: number } = {},
): Promise<Outcome> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}
