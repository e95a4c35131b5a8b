import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { AgentClient } from '../agent/agent-client.js';
import { AgentProcess } from '../agent/agent-process.js';
import { agentSettings, agentThreads } from '../agent/agent-source.js';
import { type Hello, protocolVersion, type SharingSettings, type TokenDescription } from '../agent/protocol.js';
import { HsmError } from '../errors.js';
import type { Attempt } from '../fleet/attempt.js';
import { Supervisor } from '../fleet/supervisor.js';
import { memberName } from '../member-config.js';
import { withProcessLock } from '../process-lock.js';
import {
  type ParsedSharedAgentConfig,
  parseSharedAgentConfig,
  type RoleConfig,
  type SharedAgentConfig,
} from './config.js';
import { RoleSocket } from './role-socket.js';

/** Longer than the agent itself gives its clients' calls when it is told to end. */
const drainMilliseconds = 27_000;

/** What its operator may watch. Called synchronously: be quick. */
export interface SharedAgentObserver {
  /** An agent is logged in: the first one, or one in place of an agent that was lost. */
  agentStarted?(token: TokenDescription): void;
  /** An agent crashed, hung or lost its HSM. It is replaced. */
  agentLost?(reason: HsmError): void;
  /** An agent could not be started. `final`: no other will be, e.g. after a refused PIN. */
  agentRefused?(reason: HsmError, final: boolean): void;
}

/** A role and where its clients connect. */
export interface SharedAgentRole {
  readonly name: string;
  readonly socket: string;
}

/**
 * One agent for several processes of a host: one login and one set of sessions, for roles that may do only what their policy
 * lists. This process listens on the roles' sockets and keeps an agent running; the agent is handed each accepted connection and
 * speaks with its client itself.
 */
export class SharedAgent {
  /**
   * Listens, starts the agent and returns when it is logged in, or when it cannot be for now: then clients wait, and are served as
   * soon as it is.
   * @throws {HsmError} ERR_HSM_CONFIG_INVALID, and what `Hsm.open` throws when only its operator can mend it
   */
  static async start(config: SharedAgentConfig, observer: SharedAgentObserver = {}): Promise<SharedAgent> {
    const agent = new SharedAgent(parseSharedAgentConfig(config), observer);
    try {
      await agent.#listen();
      await agent.#startAgent();
    } catch (error) {
      await agent.close();
      throw error;
    }
    return agent;
  }

  readonly #supervisor: Supervisor;
  readonly #sockets: RoleSocket[] = [];
  /** The role whose turn it is to have a connection handed over. */
  #turn = 0;
  /** The agent's process, while it is logged in. */
  #serving: AgentProcess | undefined;
  #process: AgentProcess | undefined;
  /** The configuration that the agent was last given. */
  #told: ParsedSharedAgentConfig | undefined;
  #isHandingOver = false;
  /** Why there is no agent and will be none. */
  #refusal: HsmError | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    private config: ParsedSharedAgentConfig,
    private readonly observer: SharedAgentObserver,
  ) {
    const terms = { name: memberName(config), startMilliseconds: config.startMilliseconds };
    const source = { isShared: false, hello: () => this.#hello(), open: () => this.#spawn() };
    this.#supervisor = new Supervisor(terms, source, {
      answered: () => undefined,
      failed: () => undefined,
      started: (client, description) => this.#started(client, description),
      lost: () => (this.#serving = undefined),
      buried: (reason) => this.observer.agentLost?.(reason),
      refused: (reason, final) => this.#refused(reason, final),
    });
  }

  get roles(): readonly SharedAgentRole[] {
    return this.#sockets.map(({ name, path }) => ({ name, socket: path }));
  }

  /**
   * Works with that configuration from now on: the agent answers what it was asked and ends, and the next one is started with it.
   * No call fails for it.
   * @throws {HsmError} ERR_HSM_CONFIG_INVALID when it has faults or other roles or directories; nothing is changed then
   */
  reload(config: SharedAgentConfig): void {
    const parsed = parseSharedAgentConfig(config);
    if (!isDeepStrictEqual(parsed.roles.map(place), this.config.roles.map(place))) {
      const message = 'shared agent: want the roles and their directories as they were: start it anew to change them';
      throw new HsmError('ERR_HSM_CONFIG_INVALID', message);
    }
    this.config = parsed;
    // Who connects meanwhile waits for the next one.
    const process = this.#serving;
    this.#serving = undefined;
    process?.terminate();
  }

  /** Listens no more, lets the agent answer the calls it has, and ends it. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    for (const socket of this.#sockets) socket.close();
    await this.#supervisor.stop(drainMilliseconds);
  }

  /** Under a lock: of two that start at once, one would take the other's socket for a dead agent's. */
  async #listen(): Promise<void> {
    const { stateDirectory, roles } = this.config;
    await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
    await withProcessLock(join(stateDirectory, 'sockets.lock'), async () => {
      for (const role of roles) this.#sockets.push(await RoleSocket.open(role, () => this.#connected()));
    });
  }

  /** @throws {HsmError} what no later attempt mends */
  async #startAgent(): Promise<void> {
    try {
      await this.#supervisor.start();
    } catch (error) {
      if ((error as HsmError).fault !== 'token') throw error;
    }
  }

  async #hello(): Promise<Hello> {
    this.#told = this.config;
    const { roles, hangMilliseconds, generateHangMilliseconds } = this.config;
    const sharing: SharingSettings = {
      roles: roles.map(({ name, policy, connections, callsInFlight }) => ({
        name,
        policy,
        connections,
        callsInFlight,
      })),
      hangMilliseconds,
      generateHangMilliseconds,
    };
    return { version: protocolVersion, client: 'agent', settings: { ...(await agentSettings(this.config)), sharing } };
  }

  #spawn(): AgentProcess {
    const { moduleEnvironment, sessions } = this.config;
    const options = { environment: moduleEnvironment, threads: agentThreads(sessions), isShared: true };
    return (this.#process = new AgentProcess(options));
  }

  #started(client: AgentClient<Attempt>, token: TokenDescription): void {
    client.watch();
    // It was told of a policy that was read again meanwhile.
    if (this.#told !== this.config) return void this.#process?.terminate();
    this.#serving = this.#process;
    this.#refusal = undefined;
    this.observer.agentStarted?.(token);
    void this.#handOver();
  }

  #refused(reason: HsmError, final: boolean): void {
    if (final) this.#refusal = reason;
    for (const socket of this.#sockets) socket.turnAway(reason);
    this.observer.agentRefused?.(reason, final);
  }

  #connected(): void {
    if (this.#refusal === undefined) void this.#handOver();
    else for (const socket of this.#sockets) socket.turnAway(this.#refusal);
  }

  /** One after the other, roles taking turns; a frozen agent takes one, and the others wait for the next agent. */
  async #handOver(): Promise<void> {
    if (this.#isHandingOver) return;
    this.#isHandingOver = true;
    let idle = 0;
    while (this.#serving !== undefined && idle < this.#sockets.length) {
      const role = this.#sockets[this.#turn++ % this.#sockets.length];
      const connection = role.next();
      idle = connection === undefined ? idle + 1 : 0;
      if (connection !== undefined) await this.#serving.handOver(role.name, connection);
    }
    this.#isHandingOver = false;
  }
}

/** What of a role is made when its socket is. */
function place({ name, directory, uid, gid }: RoleConfig): object {
  return { name, directory, uid, gid };
}
