import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, untilSaid } from './server-process.js';

/** Debian puts it where the search path of users does not lead. */
const program = ['mariadbd', '/usr/sbin/mariadbd', '/usr/libexec/mariadbd'].find(
  (each) => spawnSync(each, ['--version'], { stdio: 'ignore' }).status === 0,
);

/** Why tests with a MariaDB server are skipped here; undefined where there is one. */
export const whyNoMariadb =
  program === undefined ? 'no mariadbd on this machine (apt: mariadb-server-core)' : undefined;

/** MariaDB refuses to run as root, so root starts it as nobody, whom every system has. */
const nobody = { uid: 65534, gid: 65534 };
const isRoot = process.getuid?.() === 0;

export interface MariadbAddress {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly database: string;
}

/**
 * A real MariaDB server of its own, from the system's package: loopback, a free port, data thrown away by `stop`. It has no tables of users:
 * who reaches it may do everything, and it starts in a tenth of a second.
 */
export class TestMariadb {
  #server?: ChildProcess;

  private constructor(
    private readonly directory: string,
    private readonly port: number,
  ) {
    process.once('exit', () => this.#server?.kill('SIGKILL'));
  }

  static async start(): Promise<TestMariadb> {
    const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-mariadb-'));
    mkdirSync(join(directory, 'data'), { mode: 0o700 });
    if (isRoot) for (const path of [directory, join(directory, 'data')]) chownSync(path, nobody.uid, nobody.gid);
    const mariadb = new TestMariadb(directory, await freePort());
    await mariadb.restart();
    return mariadb;
  }

  /** Makes an empty database. @param collation  that its text has unless a column says otherwise; the server's own ignores case */
  async database(name: string, collation = 'utf8mb4_general_ci'): Promise<MariadbAddress> {
    await this.#execute(`CREATE DATABASE \`${name}\` CHARACTER SET utf8mb4 COLLATE ${collation}`);
    return { ...this.#address, database: name };
  }

  /** Starts it, again after `kill`: what was committed is there. */
  async restart(): Promise<void> {
    const settings = [
      'no-defaults',
      `datadir=${join(this.directory, 'data')}`,
      `socket=${join(this.directory, 'socket')}`,
      `pid-file=${join(this.directory, 'pid')}`,
      'bind-address=127.0.0.1',
      `port=${this.port}`,
      'skip-grant-tables',
      'skip-log-bin',
      // What was committed survives the server's end, not the machine's.
      ...['innodb-flush-log-at-trx-commit=2', 'innodb-log-file-size=16M'],
      ...['innodb-buffer-pool-size=64M', 'innodb-undo-tablespaces=0', 'aria-pagecache-buffer-size=8M'],
    ].map((setting) => `--${setting}`);
    this.#server = spawn(program ?? 'mariadbd', settings, {
      ...(isRoot ? nobody : {}),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await untilSaid(this.#server, 'ready for connections', 'MariaDB');
  }

  /** As an operator does it: what it has is written, clients are cut off. */
  shutDown(): Promise<void> {
    return this.#end('SIGTERM');
  }

  /** As a crash: nothing is written any more, nobody is told. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.#end('SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const server = this.#server;
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return;
    const exited = once(server, 'exit');
    server.kill(signal);
    await exited;
  }

  async #execute(sql: string): Promise<void> {
    const { createConnection } = await import('mysql2/promise');
    const { host, port, username: user } = this.#address;
    const connection = await createConnection({ host, port, user });
    await connection.query(sql);
    await connection.end();
  }

  get #address() {
    return { host: '127.0.0.1', port: this.port, username: 'test', password: '' };
  }
}
