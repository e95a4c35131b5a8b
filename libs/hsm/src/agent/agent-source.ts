import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { MemberConfig, SocketMemberConfig, TokenMemberConfig } from '../config.js';
import { HsmError } from '../errors.js';
import { memberName } from '../member-config.js';
import type { AgentSource } from './agent-link.js';
import { AgentProcess } from './agent-process.js';
import { AgentSocket } from './agent-socket.js';
import { type AgentSettings, type Hello, protocolVersion, type WirePinSource } from './protocol.js';

/** @param entry  the agent's program, when it is not the built one */
export function agentSource(config: MemberConfig, entry?: string): AgentSource {
  return 'socket' in config ? sharedAgent(config) : ownAgent(config, entry);
}

/** An agent of the application's own for each start; a PIN that is not in a file or of a command is read anew each time. */
function ownAgent(config: TokenMemberConfig, entry?: string): AgentSource {
  const { client, policy, moduleEnvironment, sessions } = config;
  return {
    isShared: false,
    async hello() {
      const settings = { ...(await agentSettings(config)), policy };
      return { version: protocolVersion, client, settings };
    },
    open: () => new AgentProcess({ environment: moduleEnvironment, threads: agentThreads(sessions), entry }),
  };
}

/** A new connection each time to the agent that listens there. Who calls and what it may do is the socket's. */
function sharedAgent({ name, socket, client }: SocketMemberConfig): AgentSource {
  return {
    isShared: true,
    async hello(): Promise<Hello> {
      await requireOwnersAlone(name, socket);
      return { version: protocolVersion, client };
    },
    open: () => new AgentSocket(socket),
  };
}

/** Each session may block a thread; one more each to write the audit trail, to sync it, and for whatever else is read. */
export function agentThreads(sessions: number): number {
  return sessions + 3;
}

/**
 * All that an agent needs to find the token and log in. A PIN in a file or of a command is read by the agent itself; one from
 * the environment or a callback is read here.
 * @throws {HsmError} ERR_HSM_PIN_SOURCE
 */
export async function agentSettings(
  config: Pick<TokenMemberConfig, 'module' | 'token' | 'pin' | 'sessions' | 'vendor' | 'stateDirectory' | 'audit'> & {
    readonly name?: string;
  },
): Promise<AgentSettings> {
  const { module, token, sessions, vendor, stateDirectory } = config;
  const audit = config.audit && { ...config.audit, member: memberName(config) };
  return { module, token, pin: await wirePinSource(config.pin), sessions, vendor, stateDirectory, audit };
}

/** Whoever may write in the directory of a socket can put one of its own there, and would be given data keys to decrypt. */
async function requireOwnersAlone(member: string, socket: string): Promise<void> {
  const directory = dirname(socket);
  let mode: number;
  try {
    ({ mode } = await stat(directory));
  } catch (cause) {
    const message = `${member}: want the directory ${directory}, got ${(cause as NodeJS.ErrnoException).code}`;
    throw new HsmError('ERR_HSM_UNAVAILABLE', message, { member, retryable: true, cause });
  }
  if ((mode & 0o022) === 0) return;
  const message = `${member}: want nobody but its owner to write in ${directory}, got mode ${(mode & 0o777).toString(8)}`;
  throw new HsmError('ERR_HSM_CONFIG_INVALID', message, { member });
}

async function wirePinSource(pin: TokenMemberConfig['pin']): Promise<WirePinSource> {
  if ('environment' in pin) {
    return { value: nonEmpty(process.env[pin.environment], `variable ${pin.environment} of the environment`) };
  }
  if ('callback' in pin) {
    try {
      return { value: nonEmpty(await pin.callback(), 'callback') };
    } catch (cause) {
      if (cause instanceof HsmError) throw cause;
      throw new HsmError('ERR_HSM_PIN_SOURCE', 'PIN callback: want a PIN, got an error', { cause });
    }
  }
  return pin;
}

function nonEmpty(value: unknown, source: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new HsmError('ERR_HSM_PIN_SOURCE', `PIN from ${source}: want some text, got none`);
}
