import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { eventually } from './eventually.js';

/** One of the built apps as a process of its own, and what it says. */
export class Application {
  readonly process: ChildProcess;
  readonly #exited: Promise<unknown[]>;
  output = '';

  /** @param command  of an app that has several */
  constructor(name: string, configFile: string, ...command: string[]) {
    const main = fileURLToPath(new URL(`../../dist/apps/${name}/main.js`, import.meta.url));
    this.process = spawn(process.execPath, [main, ...command, '--config', configFile], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#exited = once(this.process, 'exit');
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    }
  }

  /** Waits until it has said that. */
  async says(what: RegExp): Promise<void> {
    await eventually(
      () => what.test(this.output) || this.process.exitCode !== null,
      () => `no ${what} in\n${this.output}`,
    );
    if (!what.test(this.output)) throw new Error(`application: want it to say ${what}, got its end\n${this.output}`);
  }

  /** @returns the signal that ended it, or its exit code */
  async stop(): Promise<string | number | null> {
    this.process.kill('SIGTERM');
    await this.#exited;
    return this.process.signalCode ?? this.process.exitCode;
  }
}
