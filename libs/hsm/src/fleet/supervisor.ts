import { setTimeout as delay } from 'node:timers/promises';
import { AgentClient } from '../agent/agent-client.js';
import type { AgentLink, AgentSource } from '../agent/agent-link.js';
import type { Answer, TokenDescription, Verb } from '../agent/protocol.js';
import { HsmError, type HsmErrorCode } from '../errors.js';
import type { Attempt } from './attempt.js';
import { lookAtPinFile, type SeenPinFile, untilChanged } from './pin-file.js';
import { respawnDelayMilliseconds } from './respawn-delay.js';

/** An agent that served this long was sound: what happens to it next is a first failure again. */
const soundAfterMilliseconds = 10_000;
/** How long a killed or closing agent may take to be gone before nobody waits for it any more. */
const exitMilliseconds = 2_000;
/** How long an agent that said it lost its HSM may take to answer its other calls and write its audit lines. */
const retirementMilliseconds = 1_000;

/** A second wrong PIN may lock the token: there is no second attempt until it is another one. */
const pinCodes: ReadonlySet<HsmErrorCode> = new Set([
  'ERR_HSM_PIN_INCORRECT',
  'ERR_HSM_PIN_LOCKED',
  'ERR_HSM_PIN_REFUSED_EARLIER',
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
  /** No agent could be started. `final`: none will be, unless a refused PIN is mended. */
  refused(reason: HsmError, final: boolean): void;
}

/** What it calls the agent in errors, and how long one may take to start. */
export interface SupervisorTerms {
  readonly name: string;
  readonly startMilliseconds: number;
}

/**
 * Keeps one agent at hand: starts it, ends it when it hangs, starts another. Of an agent that is shared with other processes it
 * keeps a connection, and leaves starting and ending to its host.
 */
export class Supervisor {
  readonly #stopping = new AbortController();
  #link: AgentLink | undefined;
  #client: AgentClient<Attempt> | undefined;
  /** Why the agent is on its way out, when it said so itself. */
  #retirement: HsmError | undefined;
  #retiring: NodeJS.Timeout | undefined;
  #stopped: Promise<void> | undefined;
  /** As it was when the last agent was about to read its PIN there. */
  #pinFile: SeenPinFile | undefined;
  #startedAt = 0;
  #failures = 0;

  constructor(
    private readonly terms: SupervisorTerms,
    private readonly source: AgentSource,
    private readonly owner: SupervisorOwner,
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
      if (!this.#stopping.signal.aborted) {
        this.#refused(error as HsmError);
        void this.#relaunch(error as HsmError);
      }
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

  /** Ends the agent, in good order if it still can within that time, and starts no other. */
  stop(graceMilliseconds = exitMilliseconds): Promise<void> {
    return (this.#stopped ??= this.#stop(graceMilliseconds));
  }

  async #stop(graceMilliseconds: number): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#retiring);
    const link = this.#link;
    const client = this.#client;
    // Its end is no loss now.
    this.#client = undefined;
    if (link === undefined) return;
    if (client === undefined) link.kill();
    else client.end();
    await gone(link, graceMilliseconds);
  }

  async #launch(): Promise<void> {
    const { name, startMilliseconds } = this.terms;
    const hello = await within(startMilliseconds, this.source.hello());
    const pin = hello.settings?.pin;
    this.#pinFile = pin !== undefined && 'file' in pin ? await lookAtPinFile(pin.file) : undefined;
    this.#stopping.signal.throwIfAborted();
    const link = this.source.open();
    this.#link = link;
    const client: AgentClient<Attempt> = new AgentClient(link.stream, name, {
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
      link.kill();
      await gone(link);
      throw error instanceof HsmError && error.code === 'ERR_HSM_UNAVAILABLE' ? explained(error, link) : error;
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
    const link = this.#link as AgentLink;
    link.kill();
    await gone(link);
    this.owner.buried(explained(why, link));
    if (performance.now() - this.#startedAt > soundAfterMilliseconds) this.#failures = 0;
    await this.#relaunch();
  }

  /** @param refusal  why the last attempt failed, when one was made just now */
  async #relaunch(refusal?: HsmError): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        if (refusal !== undefined && !(await this.#mayPass(refusal))) return;
        this.#failures++;
        await delay(respawnDelayMilliseconds(this.#failures), undefined, { signal });
        return await this.#launch();
      } catch (error) {
        if (signal.aborted) return;
        refusal = error as HsmError;
        this.#refused(refusal);
      }
    }
  }

  #refused(reason: HsmError): void {
    this.owner.refused(reason, pinCodes.has(reason.code) || reason.code === 'ERR_HSM_PROTOCOL');
  }

  /** Waits, after a refused PIN, until its file is another one. @returns whether another attempt may succeed */
  async #mayPass({ code }: HsmError): Promise<boolean> {
    if (this.source.isShared) return true;
    if (!pinCodes.has(code)) return code !== 'ERR_HSM_PROTOCOL';
    if (this.#pinFile === undefined) return false;
    await untilChanged(this.#pinFile, this.#stopping.signal);
    this.#failures = 0;
    return true;
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

/** Waits for the agent to end, then sees to it. */
async function gone(link: AgentLink, graceMilliseconds = exitMilliseconds): Promise<void> {
  if (await endsWithin(graceMilliseconds, link)) return;
  link.kill();
  // In vain only while the kernel itself holds the process; its successor does not wait for that.
  await endsWithin(exitMilliseconds, link);
}

async function endsWithin(milliseconds: number, { exited }: AgentLink): Promise<boolean> {
  const timeout = new AbortController();
  const late = delay(milliseconds, false, { signal: timeout.signal }).catch(() => false);
  const ended = await Promise.race([exited.then(() => true), late]);
  timeout.abort();
  return ended;
}

function explained(reason: HsmError, { epitaph }: AgentLink): HsmError {
  const { code, message, member, cause } = reason;
  return new HsmError(code, `${message} (${epitaph})`, { member, retryable: true, cause });
}
