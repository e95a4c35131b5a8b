import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { HsmMemberConfig } from '@nest-hsm/hsm';
import { softHsmModule, type TestToken } from '../support/token.js';
import { eventually } from '../support/eventually.js';

/** Set wherever a test that cannot run is a failure. */
const isContinuousIntegration = process.env.CI !== undefined || process.env.NEST_HSM_CI_RUN !== undefined;

/** @returns whether there are p11-kit servers here; @throws in continuous integration when there are none */
export function hasRemoteHsms(): boolean {
  if (clientModule() !== undefined && spawnSync('p11-kit', ['server', '--help']).status === 0) return true;
  if (isContinuousIntegration) throw new Error('p11-kit: want its server and its client module here, got none');
  return false;
}

/**
 * A token in a process of its own, which the PKCS#11 module of its clients reaches through a socket: what becomes of a member
 * when that process is really killed or stopped. p11-kit 0.24 carries ECDSA and RSA signatures, and neither AES-GCM, AES-KWP nor EdDSA.
 */
export class RemoteHsm {
  readonly #socket: string;
  #server: ChildProcess | undefined;

  /** @param name  of the member and of its socket; several may serve one token */
  constructor(
    private readonly token: TestToken,
    private readonly name: string,
  ) {
    this.#socket = join(token.directory, name);
  }

  async start(): Promise<void> {
    rmSync(this.#socket, { force: true });
    const args = [
      'server',
      '-f',
      '--provider',
      softHsmModule(),
      '-n',
      this.#socket,
      `pkcs11:token=${this.token.label}`,
    ];
    const env = { ...process.env, SOFTHSM2_CONF: this.token.softHsmConf };
    // A group of its own: it forks for each of its clients.
    this.#server = spawn('p11-kit', args, { env, stdio: 'ignore', detached: true });
    await eventually(() => existsSync(this.#socket));
  }

  /** This token as a member of a fleet. */
  member(): HsmMemberConfig {
    const moduleEnvironment = { P11_KIT_SERVER_ADDRESS: `unix:path=${this.#socket}` };
    // Not the profile of SoftHSM: p11-kit 0.24 answers CKR_DEVICE_ERROR when CKA_ALLOWED_MECHANISMS is read.
    return { ...this.token.member({ module: clientModule(), moduleEnvironment, vendor: 'generic' }), name: this.name };
  }

  /** Sends a signal to the server and everything that it forked for its clients. */
  signal(signal: NodeJS.Signals): void {
    if (this.#server?.pid !== undefined) process.kill(-this.#server.pid, signal);
  }

  async kill(): Promise<void> {
    if (this.#server === undefined || this.#server.exitCode !== null || this.#server.signalCode !== null) return;
    const gone = once(this.#server, 'exit');
    this.signal('SIGKILL');
    await gone;
  }
}

function clientModule(): string | undefined {
  const directories = ['/usr/lib', '/usr/lib64', '/usr/local/lib', '/opt/homebrew/lib'].filter(existsSync);
  const architectures = directories.flatMap((each) => [
    each,
    ...readdirSync(each, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() && entry.name.includes('-linux-') ? [join(each, entry.name)] : [],
    ),
  ]);
  return architectures.map((each) => join(each, 'pkcs11', 'p11-kit-client.so')).find(existsSync);
}
