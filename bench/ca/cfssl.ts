import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { hasCommand, run } from '../../test/support/ca-service.js';
import { freePort } from '../../test/support/server-process.js';

const packageName = 'golang-cfssl';
/** The table that cfssl's own migrations make (certdb/sqlite). */
const schema = `PRAGMA journal_mode = WAL;
  CREATE TABLE certificates (serial_number blob NOT NULL, authority_key_identifier blob NOT NULL, ca_label blob,
    status blob NOT NULL, reason int, expiry timestamp, revoked_at timestamp, pem blob NOT NULL,
    PRIMARY KEY (serial_number, authority_key_identifier))`;
/** What our profile tls-server says, too. */
const signing = {
  default: {
    usages: ['digital signature', 'server auth'],
    expiry: '2160h',
    crl_url: 'http://ca.example.test/v1/crl.der',
    issuer_urls: ['http://ca.example.test/v1/issuer.der'],
  },
};

/**
 * The program: the system's where it is installed, else Debian's package, unpacked below `folder` without being installed.
 * @throws where neither can be had
 */
export function provideCfssl(folder: string): string {
  if (hasCommand('cfssl')) return 'cfssl';
  const program = join(folder, 'root/usr/bin/cfssl');
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  execFileSync('apt-get', ['download', packageName], { cwd: folder, stdio: 'pipe' });
  const [archive] = readdirSync(folder).filter((name) => name.startsWith(packageName) && name.endsWith('.deb'));
  execFileSync('dpkg', ['--extract', archive, 'root'], { cwd: folder, stdio: 'pipe' });
  return program;
}

/**
 * How far a commit is when a certificate is answered, as `PRAGMA synchronous` calls it: NORMAL, which is what cfssl's driver sets
 * unless it is told, leaves it in memory, and a power failure loses it; FULL has it on the disk, as our CA has.
 */
export type Synchronous = 'NORMAL' | 'FULL';

/** `cfssl serve` with an EC P-256 key in a file, which keeps every certificate in SQLite. */
export class CfsslServer {
  static async start(program: string, synchronous: Synchronous): Promise<CfsslServer> {
    const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-cfssl-'));
    const file = (name: string): string => join(directory, name);
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file('ca-key.pem')];
    run('openssl', 'req', '-x509', ...key, '-out', file('ca.pem'), '-subj', '/CN=cfssl', '-days', '365');
    run('sqlite3', file('ca.sqlite'), schema);
    writeFileSync(file('config.json'), JSON.stringify({ signing }));
    // Writers that find the database locked wait: without it they fail.
    const parameters = `_busy_timeout=30000&_synchronous=${synchronous}`;
    const database = { driver: 'sqlite3', data_source: `${file('ca.sqlite')}?${parameters}` };
    writeFileSync(file('database.json'), JSON.stringify(database));
    const port = await freePort();
    const authority = [`-ca=${file('ca.pem')}`, `-ca-key=${file('ca-key.pem')}`];
    const settings = [`-config=${file('config.json')}`, `-db-config=${file('database.json')}`];
    const args = ['serve', '-address=127.0.0.1', `-port=${port}`, ...authority, ...settings];
    const server = new CfsslServer(spawn(program, args, { stdio: 'ignore' }), directory, port);
    await server.#listening();
    return server;
  }

  private constructor(
    private readonly child: ChildProcess,
    private readonly directory: string,
    private readonly port: number,
  ) {}

  get pid(): number | undefined {
    return this.child.pid;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    this.child.kill();
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #listening(): Promise<void> {
    for (let tries = 0; tries < 200; tries += 1) {
      const socket = connect(this.port, '127.0.0.1');
      const isThere = await once(socket, 'connect').then(
        () => true,
        () => false,
      );
      socket.destroy();
      if (isThere) return;
      await pause(50);
    }
    await this.stop();
    throw new Error('bench: want cfssl serve to listen, got nothing in 10 s');
  }
}
