import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { AgentProcess } from '../agent/agent-process.js';
import { HsmError } from '../errors.js';
import {
  maximumLineBytes,
  type ProvisioningAnswer,
  provisioningAnswerSchemas,
  provisioningErrorSchema,
  type ProvisioningRequestOf,
  type ProvisioningVerb,
} from './protocol.js';

/** As for the token agent: tests that map this library to `src` spawn its twin in `dist`. */
const entry = fileURLToPath(
  new URL(
    import.meta.url.endsWith('.ts')
      ? '../../dist/agent/child/provisioning/main.js'
      : '../agent/child/provisioning/main.js',
    import.meta.url,
  ),
);

/** Initialising a network HSM's partition takes its time. */
const patienceMilliseconds = 120_000;
/** What a module may take to end once all was done and answered. */
const exitMilliseconds = 5_000;
/** For the module's own threads; the agent makes one call at a time. */
const threads = 4;

/**
 * Has a provisioning agent do one thing and end.
 * @param environment  what the PKCS#11 module needs
 * @throws {HsmError} the agent's, or ERR_HSM_OUTCOME_UNKNOWN when it ended or hung before it answered
 */
export async function askProvisioningAgent<V extends ProvisioningVerb>(
  environment: Readonly<Record<string, string>>,
  request: ProvisioningRequestOf<V>,
): Promise<ProvisioningAnswer<V>> {
  const agent = new AgentProcess({ environment, threads, entry });
  // The end of its stream is how it is noticed that the agent is gone.
  agent.stream.on('error', () => undefined);
  agent.stream.write(`${JSON.stringify(request)}\n`);
  const patience = new AbortController();
  const line = await Promise.race([
    // A stream that breaks is one without an answer.
    answerLine(agent.stream).catch(() => undefined),
    delay(patienceMilliseconds, undefined, { signal: patience.signal }),
  ]).finally(() => patience.abort());
  if (line === undefined) {
    agent.kill();
    await agent.exited;
    const what = `provisioning agent: want its answer to ${request.verb}, got none (${agent.epitaph})`;
    throw new HsmError('ERR_HSM_OUTCOME_UNKNOWN', `${what}: run the command again, it finishes what was begun`);
  }
  const overdue = setTimeout(() => agent.kill(), exitMilliseconds);
  await agent.exited;
  clearTimeout(overdue);
  return understood(request.verb, line);
}

/** @returns undefined when the agent ended before its answer did */
async function answerLine(stream: Duplex): Promise<string | undefined> {
  let text = '';
  for await (const chunk of stream.setEncoding('utf8')) {
    text += chunk as string;
    const end = text.indexOf('\n');
    if (end >= 0) return text.slice(0, end);
    if (text.length > maximumLineBytes) break;
  }
  return undefined;
}

function understood<V extends ProvisioningVerb>(verb: V, line: string): ProvisioningAnswer<V> {
  const answer: unknown = JSON.parse(line);
  const failed = provisioningErrorSchema.safeParse(answer);
  if (failed.success) {
    const { code, message, ...details } = failed.data.error;
    throw new HsmError(code, message, details);
  }
  const parsed = provisioningAnswerSchemas[verb].safeParse(answer);
  if (parsed.success) return parsed.data as ProvisioningAnswer<V>;
  throw new HsmError('ERR_HSM_PROTOCOL', `provisioning agent: want an answer to ${verb}, got something else`);
}
