/**
 * The token agent: one child process per HSM connection, because only SIGKILL bounds a native call that a frozen HSM never
 * answers. Started as `node --disable-sigusr1 main.js` with an allow-listed environment and core dumps off (both the
 * parent's business); its client speaks through file descriptor 3. It says nothing on stdout, and on stderr only why it
 * could not go on.
 */
import { Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { AuditWriter } from '../../audit/audit-writer.js';
import { HsmError } from '../../errors.js';
import { probeKeyLabel } from '../../key/key.js';
import { agentExitCodes, type Hello, type PolicyRule } from '../protocol.js';
import { AuditTrail } from './audit-trail.js';
import { Connection } from './connection.js';
import { Token } from './pkcs11/token.js';
import { Policy } from './policy.js';
import { RequestHandler } from './request-handler.js';

const clientDescriptor = 3;
/** Whatever else the application may do, its provider may see whether the token signs. */
const probeRule: PolicyRule = { label: probeKeyLabel, operations: ['find', 'generate', 'sign'] };
/** How long calls in flight may take once nobody waits for them; when the agent is told to end, somebody does. */
const graceMilliseconds = 3_000;
const shutdownGraceMilliseconds = 25_000;

let token: Token | undefined;
let audit: AuditWriter | undefined;
let isLeaving = false;

// Half-open: a client that sends no more still gets the answers to what it sent.
const stream = new Socket({ fd: clientDescriptor, readable: true, writable: true, allowHalfOpen: true });
const connection = new Connection(stream, greet);
new Worker(new URL('./orphan-watch.js', import.meta.url), { workerData: process.ppid, env: {} }).unref();
stream.on('error', () => stream.destroy());
stream.on('end', () => void leave(agentExitCodes.done, 'the application is gone'));
stream.on('close', () => void leave(agentExitCodes.done, 'the application is gone'));
process.on('SIGTERM', () => void leave(agentExitCodes.done, 'the agent is shutting down', shutdownGraceMilliseconds));
// Ctrl-C reaches the whole terminal group; the application decides when its agent goes.
process.on('SIGINT', () => undefined);

async function greet({ client, settings }: Hello): Promise<RequestHandler> {
  if (!settings)
    throw new HsmError('ERR_HSM_PROTOCOL', 'hello: want settings from the application that spawned the agent');
  audit = settings.auditFile === undefined ? undefined : await AuditWriter.open(settings.auditFile, alarm);
  token = await Token.open(settings);
  token.onInstanceDead = () => void leave(agentExitCodes.instanceDead, 'the token must be opened anew');
  const policy = settings.policy ? Policy.allowing([...settings.policy, probeRule]) : Policy.unrestricted;
  return new RequestHandler(token, new AuditTrail(audit, client, token.description.label), policy);
}

/** Signing goes on without its audit lines, but not silently. */
function alarm({ message }: HsmError): void {
  process.stderr.write(`token agent: audit lines are being lost: ${message}\n`);
}

/** Answers what is in flight, refuses the rest, and ends the process; a call that hangs does not hold it. */
async function leave(exitCode: number, reason: string, grace = graceMilliseconds): Promise<void> {
  if (isLeaving) return;
  isLeaving = true;
  const refusal = new HsmError('ERR_HSM_UNAVAILABLE', reason, { retryable: true });
  const isIdle = await connection.drain(refusal, grace);
  await audit?.close();
  // process.exit waits for libuv's threads, hence for a hung call.
  if (!isIdle) process.kill(process.pid, 'SIGKILL');
  // Never with calls in flight: C_Finalize then crashes SoftHSM, and once it left a token file empty.
  if (exitCode === agentExitCodes.done) token?.close();
  process.exit(exitCode);
}
