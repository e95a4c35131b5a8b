/**
 * The token agent: one child process per HSM connection, because only SIGKILL bounds a native call that a frozen HSM never
 * answers. Started as `node --disable-sigusr1 main.js PID`, the application's, with an allow-listed environment and core dumps
 * off (all of it the application's business); its client speaks through file descriptor 3, and further ones, of a shared agent,
 * through sockets that its parent hands over. It says nothing on stdout, and on stderr only why it could not go on.
 */
import { Socket } from 'node:net';
import { AuditLog } from '../../audit/audit-log.js';
import { HsmError } from '../../errors.js';
import { probeKeyLabel } from '../../key/key.js';
import { type HandedOver, takenOver } from '../hand-over.js';
import {
  agentExitCodes,
  type AgentSettings,
  auditAlarm,
  type Hello,
  type PolicyRule,
  type SharingSettings,
} from '../protocol.js';
import { endWithApplication, interruptNobody } from './addon.js';
import { AuditTrail } from './audit-trail.js';
import { Connection } from './connection.js';
import { ensureProbeKey } from './probe-key.js';
import { Token } from './pkcs11/token.js';
import { Policy } from './policy.js';
import { RequestHandler } from './request-handler.js';
import { SharedClients } from './shared-clients.js';

const applicationPid = Number(process.argv[2]);
const clientDescriptor = 3;
/** At once, from the application that spawned the agent. */
const receivedBytes = 65_536;
/** Whatever else the application may do, its provider may see whether the token signs. */
const probeRule: PolicyRule = { label: probeKeyLabel, operations: ['find', 'generate', 'sign'] };
/** Of a shared agent, which makes that key itself: one that its clients could fill the token with would not be theirs to make. */
const sharedProbeRule: PolicyRule = { ...probeRule, operations: ['find', 'sign'] };
/** How long calls in flight may take once nobody waits for them; when the agent is told to end, somebody does. */
const graceMilliseconds = 3_000;
const shutdownGraceMilliseconds = 25_000;

let token: Token | undefined;
let audit: AuditLog | undefined;
let clients: SharedClients | undefined;
let isLeaving = false;

const stream = new Socket({
  fd: clientDescriptor,
  readable: true,
  writable: true,
  // A client that sends no more still gets the answers to what it sent.
  allowHalfOpen: true,
  // Past the stream's own buffering, which costs a tenth of what a signature costs here.
  onread: {
    buffer: Buffer.alloc(receivedBytes),
    callback: (byteLength, buffer) => {
      const received = buffer.subarray(0, byteLength);
      connection.receive(Buffer.from(received));
      received.fill(0);
      return true;
    },
  },
});
const connection = new Connection(stream, greet);
stream.on('error', () => stream.destroy());
stream.on('end', leaveOrphaned);
stream.on('close', leaveOrphaned);
process.on('SIGTERM', () => void leave(agentExitCodes.done, 'the agent is shutting down', shutdownGraceMilliseconds));
// Ctrl-C reaches the whole terminal group; the application decides when its agent goes.
process.on('SIGINT', () => undefined);

async function greet({ client, settings }: Hello): Promise<RequestHandler> {
  if (!settings)
    throw new HsmError('ERR_HSM_PROTOCOL', 'hello: want settings from the application that spawned the agent');
  endWithApplication(applicationPid);
  interruptNobody();
  audit = settings.audit && (await AuditLog.open(settings.audit, alarm));
  token = await openToken(settings, client);
  token.onInstanceDead = () => void leave(agentExitCodes.instanceDead, 'the token must be opened anew');
  const policy = settings.policy ? Policy.allowing([...settings.policy, probeRule]) : Policy.unrestricted;
  const handler = new RequestHandler(token, new AuditTrail(audit, client), policy);
  if (settings.sharing) await share(token, settings.sharing, handler);
  return handler;
}

/** Neither a login nor a PIN that was refused goes unrecorded. */
async function openToken(settings: AgentSettings, client: string): Promise<Token> {
  try {
    const opened = await Token.open(settings);
    const { label, serial } = opened.description;
    await audit?.opened({ client, token: { label, serial }, result: 'ok' });
    return opened;
  } catch (error) {
    if (error instanceof HsmError && error.code.startsWith('ERR_HSM_PIN_')) {
      // That the PIN was refused is what the application must hear, whatever else fails.
      await audit?.opened({ client, token: settings.token, result: error.code }).catch(() => undefined);
    }
    throw error;
  }
}

/** From now on whoever spawned the agent may hand over connections of others. */
async function share(of: Token, sharing: SharingSettings, handler: RequestHandler): Promise<void> {
  const probeKeys = await ensureProbeKey(handler);
  clients = new SharedClients(sharing, probeKeys, ({ name, policy }) => {
    return new RequestHandler(of, new AuditTrail(audit, name), Policy.allowing([...policy, sharedProbeRule]));
  });
  clients.watch((what) => {
    process.stderr.write(`token agent: ${what}\n`);
    process.kill(process.pid, 'SIGKILL');
  });
  process.on('message', ({ role }: HandedOver, socket?: Socket) => {
    // It may have been closed on the way.
    if (socket !== undefined) clients?.take(role, socket);
    // Whoever started the agent may be gone: then it drains, as `leaveOrphaned` says.
    process.send?.(takenOver, undefined, undefined, () => undefined);
  });
}

/** Signing goes on without its audit lines, but not silently. */
function alarm({ message }: HsmError): void {
  process.stderr.write(`${auditAlarm}${message}\n`);
}

/** The clients of a shared agent are still there and wait. */
function leaveOrphaned(): void {
  const grace = clients === undefined ? graceMilliseconds : shutdownGraceMilliseconds;
  void leave(agentExitCodes.done, 'whoever started the agent is gone', grace);
}

/** Answers what is in flight, refuses the rest, and ends the process; a call that hangs does not hold it. */
async function leave(exitCode: number, reason: string, grace = graceMilliseconds): Promise<void> {
  if (isLeaving) return;
  isLeaving = true;
  const refusal = new HsmError('ERR_HSM_UNAVAILABLE', reason, { retryable: true });
  const drained = await Promise.all([connection.drain(refusal, grace), clients?.drain(refusal, grace) ?? true]);
  const isIdle = drained.every(Boolean);
  await audit?.close();
  // process.exit waits for libuv's threads, hence for a hung call.
  if (!isIdle) process.kill(process.pid, 'SIGKILL');
  // Never with calls in flight: C_Finalize then crashes SoftHSM, and once it left a token file empty.
  if (exitCode === agentExitCodes.done) token?.close();
  process.exit(exitCode);
}
