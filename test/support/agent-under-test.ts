import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import {
  type AgentSettings,
  type Answer,
  protocolVersion,
  type Request,
  type RequestHeader,
  type Verb,
} from '../../libs/hsm/src/agent/protocol.js';
import type { AuditSettings } from '../../libs/hsm/src/audit/audit-settings.js';
import { Conversation } from './conversation.js';
import { softHsmModule, type TestToken } from './token.js';

const entry = fileURLToPath(new URL('../../libs/hsm/dist/agent/child/main.js', import.meta.url));

/** A built agent with nothing between the test and its protocol. */
export class AgentUnderTest {
  static readonly #all = new Set<AgentUnderTest>();

  /** Ends every agent that a test left behind. */
  static killAll(): void {
    for (const agent of AgentUnderTest.#all) agent.process.kill('SIGKILL');
    AgentUnderTest.#all.clear();
  }

  /** An agent that has said hello, logged in to the token. */
  static async loggedIn(
    token: TestToken,
    settings: Partial<AgentSettings> = {},
    environment?: Record<string, string>,
  ): Promise<AgentUnderTest> {
    const agent = new AgentUnderTest(token, environment);
    await agent.hello(settings);
    return agent;
  }

  readonly process: ChildProcess;
  readonly stream: Duplex;
  /** Exit code, or the name of the signal. */
  readonly exited: Promise<number | string>;
  readonly #conversation: Conversation;
  #output = '';

  /** @param environment  what the PKCS#11 module needs, when it is not SoftHSM itself */
  constructor(
    private readonly token: TestToken,
    environment: Record<string, string> = { SOFTHSM2_CONF: token.softHsmConf },
  ) {
    this.process = spawn(process.execPath, ['--disable-sigusr1', entry, String(process.pid)], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      env: environment,
    });
    AgentUnderTest.#all.add(this);
    this.stream = this.process.stdio[3] as Duplex;
    this.exited = once(this.process, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
    for (const output of [this.process.stdout, this.process.stderr]) {
      output?.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    }
    this.#conversation = new Conversation(this.stream);
  }

  /** What it wrote to stdout and stderr. */
  get output(): string {
    return this.#output;
  }

  hello(settings: Partial<AgentSettings> = {}, version = protocolVersion): Promise<Answer<'hello'>> {
    const { label, pinFile, directory } = this.token;
    const all: AgentSettings = {
      module: softHsmModule(),
      token: { label },
      pin: { file: pinFile },
      sessions: 4,
      vendor: 'auto',
      stateDirectory: `${directory}/state`,
      ...settings,
    };
    return this.call('hello', { version, client: 'test', settings: all });
  }

  /** @throws the agent's error */
  call<V extends Verb>(verb: V, request: Request<V>, header: Partial<RequestHeader> = {}): Promise<Answer<V>> {
    return this.send(verb, request, header).answer;
  }

  send<V extends Verb>(
    verb: V,
    request: Request<V>,
    header: Partial<RequestHeader> = {},
  ): { requestId: number; answer: Promise<Answer<V>> } {
    return this.#conversation.send(verb, request, header);
  }
}

/** The trail that an agent on that token is told to write; of a member named `test`. */
export function auditSettings(token: TestToken, changes: Partial<AuditSettings> = {}): AuditSettings {
  return {
    directory: `${token.directory}/audit`,
    member: 'test',
    maximumSegmentBytes: 64 << 20,
    issuerKeys: [],
    folded: [],
    foldSeconds: 60,
    onFailure: { use: 'count' },
    ...changes,
  };
}
