/**
 * The ways in which a call fails before or without an answer of the agent. The message names the fleet; `member` is the one
 * that the call was last with, and absent when it never was with any.
 */
import type { Verb } from '../agent/protocol.js';
import { HsmError } from '../errors.js';
import type { Call } from './call.js';

type Asked = Pick<Call, 'member'>;

export function closed(fleet: string, asked?: Asked): HsmError {
  return new HsmError('ERR_HSM_CLOSED', `${fleet}: closed`, { member: asked?.member?.name });
}

export function aborted(fleet: string, signal: AbortSignal | undefined, asked?: Asked): HsmError {
  const details = { member: asked?.member?.name, cause: signal?.reason as unknown };
  return new HsmError('ERR_HSM_ABORTED', `${fleet}: the caller aborted`, details);
}

export function overloaded(fleet: string, { trafficClass }: Call, queueLimit: number): HsmError {
  const message = `${fleet}: want fewer ${trafficClass} calls waiting, of one key or of all (queueLimit is ${queueLimit})`;
  return new HsmError('ERR_HSM_OVERLOADED', message, { retryable: true });
}

/** @param trouble  why no agent could be started, if that is what the call waited for */
export function timedOut(fleet: string, call: Call, trouble: HsmError | undefined): HsmError {
  const waited = Math.round(performance.now() - call.startedAt);
  const message = `${fleet}: want an answer to ${call.verb} in time, got none in ${waited} ms`;
  return new HsmError('ERR_HSM_TIMEOUT', message, { member: call.member?.name, retryable: true, cause: trouble });
}

/** It was not sent, since no answer could come in time. */
export function hopeless(fleet: string, { verb, deadline, startedAt }: Call): HsmError {
  const wanted = Math.round(deadline - startedAt);
  const message = `${fleet}: want an answer to ${verb} within ${wanted} ms, got a fleet whose answers take longer now`;
  return new HsmError('ERR_HSM_TIMEOUT', message, { retryable: true });
}

export function outcomeUnknown(fleet: string, call: Call, cause?: unknown): HsmError {
  const message = `${fleet}: ${call.verb} was sent to the token and its outcome is unknown`;
  return new HsmError('ERR_HSM_OUTCOME_UNKNOWN', message, { member: call.member?.name, retryable: true, cause });
}

export function hung(member: string, verb: Verb, limitMilliseconds: number): HsmError {
  const message = `${member}: want ${verb} to take less than ${limitMilliseconds} ms on the token, got no answer`;
  return new HsmError('ERR_HSM_UNAVAILABLE', message, { member, retryable: true });
}

/** An agent that is told to end, or has lost its token, says so to every call that it did not begin. */
export function isTurnedAway({ code, retryable, returnValue }: HsmError): boolean {
  return code === 'ERR_HSM_UNAVAILABLE' && retryable && returnValue === undefined;
}
