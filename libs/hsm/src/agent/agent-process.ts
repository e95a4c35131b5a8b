import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { HsmError } from '../errors.js';
import type { AgentLink } from './agent-link.js';
import { auditAlarm } from './protocol.js';
import type { HandedOver } from './hand-over.js';

/**
 * The built agent. A child process cannot run TypeScript sources, so tests that map this library to `src` spawn its twin in
 * `dist`; `hello` refuses a twin of another protocol version.
 */
export const agentEntry = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../../dist/agent/child/main.js' : './child/main.js', import.meta.url),
);

/** Everything the agent inherits from the application; the configuration adds what the PKCS#11 module needs. */
const inheritedVariables = ['PATH', 'LANG', 'LC_ALL', 'TZ'];

/**
 * glibc keeps 7 freed blocks of a size for each thread and takes a lock for more; a signature of SoftHSM's frees more of them,
 * on many threads at once. It costs an agent a tenth of its CPU time.
 */
const allocatorSettings = { GLIBC_TUNABLES: 'glibc.malloc.tcache_count=127' };

const lastWordsBytes = 2_048;
const lastWordsMilliseconds = 100;

/**
 * Runs before the agent, in its process: a core dump would hold the PIN and data keys, so none is written (the limit) and
 * none is piped to a collector, which ignores the limit (the filter; both survive exec). A shell does it because Node cannot
 * set limits and prlimit is Linux only, while a POSIX sh is wherever a PKCS#11 module is.
 *
 * The kernel is not asked to kill the agent with the application (setpriv --pdeathsig): SoftHSM loses a token when it is
 * killed while it logs in. The closed stream ends the agent in good order instead.
 */
const launcher = `
ulimit -c 0
{ echo 0 > /proc/self/coredump_filter; } 2>/dev/null
exec "$@"`;

export interface AgentProcessOptions {
  /** Variables of the PKCS#11 module, e.g. SOFTHSM2_CONF. */
  readonly environment: Readonly<Record<string, string>>;
  /** Calls that may block in the PKCS#11 module at once. */
  readonly threads: number;
  /** Whether it is given clients of other processes. Default false. */
  readonly isShared?: boolean;
  /** The program to run; the built agent when absent. */
  readonly entry?: string;
}

/**
 * One token agent as an operating-system process: a private stream on its descriptor 3, no environment but an allow-list, no
 * inspector, no core dump. It ends when its stream closes; `kill` ends it whatever it is doing.
 */
export class AgentProcess implements AgentLink {
  /** Carries the protocol. Closing it ends the agent. */
  readonly stream: Duplex;
  /** Resolves when the process is gone and its `epitaph` is complete. */
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;
  #exit = '';
  #lastWords = '';
  /** Of its standard error, the line that has no end yet. */
  #unfinished = '';

  /** @throws {HsmError} ERR_HSM_UNAVAILABLE when the system has no process or descriptor left */
  constructor({ environment, threads, isShared = false, entry = agentEntry }: AgentProcessOptions) {
    const variables = { ...inherited(), ...allocatorSettings, ...environment, UV_THREADPOOL_SIZE: String(threads) };
    this.#child = start(entry, variables, isShared);
    const stream = this.#child.stdio?.[3] as Duplex | null | undefined;
    this.exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        this.#exit = signal ?? `exit code ${code}`;
        // What it wrote last is still on its way; a grandchild that holds standard error is not waited for.
        setTimeout(resolve, lastWordsMilliseconds).unref();
      });
      this.#child.once('close', resolve);
      this.#child.on('error', (error) => {
        this.#exit ||= error.message;
        resolve();
      });
    });
    if (stream === null || stream === undefined) {
      throw new HsmError('ERR_HSM_UNAVAILABLE', 'agent: want a process with a private stream, got none', {
        retryable: true,
      });
    }
    this.stream = stream;
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#hear(text));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** How the process ended and what it last wrote to standard error, for an error message. */
  get epitaph(): string {
    return [this.#exit || 'still running', this.#lastWords.trim()].filter(Boolean).join(': ');
  }

  /**
   * Hands an accepted connection of a role over to the agent, which must be shared and logged in. It is this process's no more.
   * @returns when the agent has it, or will not have it any more because it is gone: the connection is closed then
   */
  async handOver(role: string, socket: Socket): Promise<void> {
    const message: HandedOver = { role };
    const takenOver = new Promise<unknown>((resolve, reject) => {
      this.#child.once('message', resolve);
      this.#child.send(message, socket, (error) => {
        if (error !== null) reject(error);
      });
    });
    await Promise.race([takenOver, this.exited]).catch(() => socket.destroy());
  }

  /** Has the agent answer what it was asked, refuse what comes, and end. */
  terminate(): void {
    this.#child.kill('SIGTERM');
  }

  /** Ends the process at once, hung or not. */
  kill(): void {
    this.#child.kill('SIGKILL');
    this.stream.destroy();
  }

  #hear(text: string): void {
    this.#lastWords = (this.#lastWords + text).slice(-lastWordsBytes);
    const lines = (this.#unfinished + text).split('\n');
    this.#unfinished = lines.pop()?.slice(-lastWordsBytes) ?? '';
    // That uses go unrecorded must not first be heard when the agent ends.
    for (const line of lines) if (line.startsWith(auditAlarm)) process.emitWarning(line);
  }
}

function start(entry: string, env: NodeJS.ProcessEnv, isShared: boolean): ChildProcess {
  const agent = [process.execPath, '--disable-sigusr1', entry, String(process.pid)];
  try {
    // A session of its own: Ctrl-C in a terminal reaches the application, which drains, and not the agent under it.
    return spawn('/bin/sh', ['-c', launcher, 'sh', ...agent], {
      env,
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', ...(isShared ? (['ipc'] as const) : [])],
    });
  } catch (cause) {
    throw new HsmError('ERR_HSM_UNAVAILABLE', 'agent: the process could not be started', { retryable: true, cause });
  }
}

function inherited(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    inheritedVariables.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}
