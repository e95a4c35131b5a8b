import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NginxBinary } from './peers.js';
import type { MeasuredServer } from './side.js';
import { freePort } from '../../test/support/server-process.js';

export interface NginxSetup {
  readonly workers: number;
  /** The block that serves: http or stream. */
  readonly block: (port: number) => string;
  /** For its workers too, which nginx would start with none. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** nginx: its master and its workers. */
export class Nginx implements MeasuredServer {
  static async start({ path, streamModule }: NginxBinary, setup: NginxSetup): Promise<Nginx> {
    const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-bench-nginx-'));
    const port = await freePort();
    const { workers, block, environment = {} } = setup;
    const variables = Object.entries(environment).map(([name, value]) => `env ${name}=${value};`);
    // Workers of a user of their own could not read the token.
    const user = process.getuid?.() === 0 ? 'user root;' : '';
    writeFileSync(
      join(directory, 'nginx.conf'),
      `daemon off; ${user} worker_processes ${workers}; pid ${directory}/pid; error_log ${directory}/error.log crit;
       load_module ${streamModule}; ${variables.join(' ')}
       events { worker_connections 65536; }
       ${block(port)}`,
    );
    const child = spawn(path, ['-p', directory, '-c', 'nginx.conf', '-e', join(directory, 'error.log')], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, ...environment },
    });
    const nginx = new Nginx(child, port, directory);
    await nginx.#listening();
    return nginx;
  }

  private constructor(
    private readonly child: ChildProcess,
    readonly port: number,
    private readonly directory: string,
  ) {}

  get pid(): number {
    return this.child.pid as number;
  }

  async stop(): Promise<void> {
    const exit = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exit;
    rmSync(this.directory, { recursive: true });
  }

  async #listening(): Promise<void> {
    for (let attempt = 0; attempt < 200; attempt++) {
      if (this.child.exitCode !== null) throw new Error(`bench: nginx ended with ${this.child.exitCode}`);
      const socket = connect(this.port, '127.0.0.1');
      const outcome = await new Promise((resolve) => {
        socket.once('connect', () => resolve('connected'));
        socket.once('error', () => resolve('refused'));
      });
      socket.destroy();
      if (outcome === 'connected') return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error('bench: want nginx to listen within 5 s, got nothing');
  }
}
