import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import type { LoadTask } from './task.js';

/** The face of handshaking-clients.cc. */
interface HandshakingClients {
  /**
   * Takes the thread until it is done. Counts what the server has completed: that it ends after our close_notify is waited for.
   * @throws {Error} where a handshake fails, the server does not prove its name, or a session is resumed
   */
  makeHandshakes(task: LoadTask): {
    readonly handshakes: number;
    readonly seconds: number;
    /** Of these clients. */
    readonly cpuMicroseconds: number;
  };
}

/** Compiles the clients with the machine's C++ compiler, once for each state of their source and each Node.js. */
export function loadClients(): HandshakingClients {
  const source = resolve('bench/tls/handshaking-clients.cc');
  const hash = createHash('sha256').update(readFileSync(source)).update(process.version).digest('hex');
  const directory = resolve('var/cache/bench');
  const built = join(directory, `handshaking-clients-${process.platform}-${process.arch}-${hash.slice(0, 16)}.node`);
  if (!existsSync(built)) compile(source, built);
  return createRequire(import.meta.url)(built) as HandshakingClients;
}

function compile(source: string, built: string): void {
  mkdirSync(join(built, '..'), { recursive: true });
  const headers = join(realpathSync(process.execPath), '../../include/node');
  const flags = ['-std=c++17', '-O2', '-shared', '-fPIC', '-Wall', '-Wextra', '-Werror', '-I', headers];
  const unfinished = `${built}.${process.pid}`;
  execFileSync(process.env.CXX ?? 'c++', [...flags, '-o', unfinished, source], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  renameSync(unfinished, built);
}
