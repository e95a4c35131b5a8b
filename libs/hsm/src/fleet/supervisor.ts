import { setTimeout as delay } from 'node:timers/promises';
import { AgentClient } from '../agent/agent-client.js';
import { agentHello } from '../agent/agent-hello.js';
import { AgentProcess } from '../agent/agent-process.js';
import type { Answer, TokenDescription, Verb } from '../agent/protocol.js';
import type { MemberConfig } from '../config.js';
import { HsmError, type HsmErrorCode } from '../errors.js';
import type { Attempt } from './attempt.js';
import { respawnDelayMilliseconds } from './respawn-delay.js';

/** An agent that served this long was sound: what happens to it next is a first failure again. */
const soundAfterMilliseconds = 10_000;
/** How long a killed or closing agent may take to be gone before nobody waits for it any more. */
const exitMilliseconds = 2_000;
/** How long an agent that said it lost its HSM may take to answer its other calls and write its audit lines. */
const retirementMilliseconds = 1_000;

/** No second attempt mends these, and a second wrong PIN may lock the token. */
const finalCodes: ReadonlySet<HsmErrorCode> = new Set([
  'ERR_HSM_PIN_INCORRECT',
  'ERR_HSM_PIN_LOCKED',
  'ERR_HSM_PIN_REFUSED_EARLIER',
  'ERR_HSM_PROTOCOL',
]);

export interface SupervisorOwner {
  answered(attempt: Attempt, answer: Answer<Verb>): void;
  failed(attempt: Attempt, error: HsmError): void;
  /** An agent takes calls. */
  started(client: AgentClient<Attempt>, token: TokenDescription): void;
  /** The agent was lost, with these calls under way. */
  lost(attempts: readonly Attempt[], reason: HsmError): void;
  /** The lost agent is gone: the same reason, with how its process ended. Another is on its way. */
  buried(reason: HsmError): void;
  /** No agent could be started. `final`: none will be. */
  refused(reason: HsmError, final: boolean): void;
}

/** Keeps one agent running: starts it, ends it when it hangs, starts another. */
export class Supervisor {
  readonly #stopping = new AbortController();
  #process: AgentProcess | undefined;
  #client: AgentClient<Attempt> | undefined;
  /** Why the agent is on its way out, when it said so itself. */
  #retirement: HsmError | undefined;
  #retiring: NodeJS.Timeout | undefined;
  #stopped: Promise<void> | undefined;
  #startedAt = 0;
  #failures = 0;

  constructor(
    private readonly config: MemberConfig,
    private readonly owner: SupervisorOwner,
    /** The agent's program, when it is not the built one. */
    private readonly entry?: string,
  ) {}

  /**
   * Starts the first agent. When that fails for a reason that may pass, others follow until one starts.
   * @throws {HsmError} why the first attempt failed
   */
  async start(): Promise<void> {
    try {
      await this.#launch();
    } catch (error) {
      this.#failures++;
      if (!this.#stopping.signal.aborted && this.#refused(error as HsmError)) void this.#relaunch();
      throw error;
    }
  }

  /** Ends the agent at once and starts another. */
  replace(reason: HsmError): void {
    if (this.#client !== undefined) void this.#lost(this.#client, reason);
  }

  /** Lets the agent, which can do no more, answer what it still answers; then starts another. */
  retire(reason: HsmError): void {
    const client = this.#client;
    if (client === undefined) return;
    this.#retirement = reason;
    clearTimeout(this.#retiring);
    this.#retiring = setTimeout(() => void this.#lost(client, reason), retirementMilliseconds);
  }

  /** Ends the agent, in good order if it still can, and starts no other. */
  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#retiring);
    const process = this.#process;
    const client = this.#client;
    // Its end is no loss now.
    this.#client = undefined;
    if (process === undefined) return;
    if (client === undefined) process.kill();
    else client.end();
    await gone(process);
  }

  async #launch(): Promise<void> {
    const { name, sessions, moduleEnvironment, startMilliseconds } = this.config;
    const hello = await within(startMilliseconds, agentHello(this.config));
    this.#stopping.signal.throwIfAborted();
    // Each session may block a thread; one more each for the audit file and whatever else the agent reads.
    const process = new AgentProcess({ environment: moduleEnvironment, threads: sessions + 2, entry: this.entry });
    this.#process = process;
    const client: AgentClient<Attempt> = new AgentClient(process.stream, name, {
      answered: (attempt, answer) => this.owner.answered(attempt, answer),
      failed: (attempt, error) => this.owner.failed(attempt, error),
      lost: (reason) => void this.#lost(client, reason),
    });
    let token: TokenDescription;
    try {
      token = await within(startMilliseconds, client.hello(hello));
      // It may have answered and died in one breath, before there was anyone to replace it.
      if (client.lost !== undefined) throw client.lost;
    } catch (error) {
      process.kill();
      await gone(process);
      throw error instanceof HsmError && error.code === 'ERR_HSM_UNAVAILABLE' ? explained(error, process) : error;
    }
    this.#client = client;
    this.#startedAt = performance.now();
    this.owner.started(client, token);
  }

  async #lost(client: AgentClient<Attempt>, reason: HsmError): Promise<void> {
    if (client !== this.#client) return;
    clearTimeout(this.#retiring);
    const why = this.#retirement ?? reason;
    this.#client = undefined;
    this.#retirement = undefined;
    this.owner.lost([...client.unanswered.values()], why);
    const process = this.#process as AgentProcess;
    process.kill();
    await gone(process);
    this.owner.buried(explained(why, process));
    if (performance.now() - this.#startedAt > soundAfterMilliseconds) this.#failures = 0;
    await this.#relaunch();
  }

  async #relaunch(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#failures++;
      try {
        await delay(respawnDelayMilliseconds(this.#failures), undefined, { signal });
        return await this.#launch();
      } catch (error) {
        if (signal.aborted || !this.#refused(error as HsmError)) return;
      }
    }
  }

  /** @returns whether another attempt may succeed */
  #refused(reason: HsmError): boolean {
    const final = finalCodes.has(reason.code);
    this.owner.refused(reason, final);
    return !final;
  }
}

/** @throws {HsmError} ERR_HSM_UNAVAILABLE when it takes longer */
async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  const timeout = new AbortController();
  const late = delay(milliseconds, undefined, { signal: timeout.signal }).then(() => {
    throw new HsmError('ERR_HSM_UNAVAILABLE', `agent: want it to start within ${milliseconds} ms`, { retryable: true });
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    timeout.abort();
    late.catch(() => undefined);
  }
}

/** Waits for the process to end, then sees to it. */
async function gone(process: AgentProcess): Promise<void> {
  if (await endsInTime(process)) return;
  process.kill();
  // In vain only while the kernel itself holds the process; its successor does not wait for that.
  await endsInTime(process);
}

async function endsInTime(process: AgentProcess): Promise<boolean> {
  const timeout = new AbortController();
  const late = delay(exitMilliseconds, false, { signal: timeout.signal }).catch(() => false);
  const ended = await Promise.race([process.exited.then(() => true), late]);
  timeout.abort();
  return ended;
}

function explained(reason: HsmError, process: AgentProcess): HsmError {
  const { code, message, member, cause } = reason;
  return new HsmError(code, `${message} (${process.epitaph})`, { member, retryable: true, cause });
}
