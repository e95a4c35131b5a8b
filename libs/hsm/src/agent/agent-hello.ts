import type { MemberConfig } from '../config.js';
import { HsmError } from '../errors.js';
import { type Hello, protocolVersion, type WirePinSource } from './protocol.js';

/**
 * The first message to an agent: who calls, and all it needs to find the token and log in. A PIN in a file or of a command
 * is read by the agent itself; one from the environment or a callback is read here, anew for each agent.
 * @throws {HsmError} ERR_HSM_PIN_SOURCE
 */
export async function agentHello(config: MemberConfig): Promise<Hello> {
  const { client, module, token, sessions, vendor, stateDirectory, auditFile, policy } = config;
  const pin = await wirePinSource(config.pin);
  return {
    version: protocolVersion,
    client,
    settings: { module, token, pin, sessions, vendor, stateDirectory, auditFile, policy },
  };
}

async function wirePinSource(pin: MemberConfig['pin']): Promise<WirePinSource> {
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
