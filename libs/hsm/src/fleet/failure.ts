/** The ways in which a call fails before or without an answer of the agent. */
import type { Verb } from '../agent/protocol.js';
import { HsmError } from '../errors.js';
import type { Call } from './call.js';

export function closed(member: string): HsmError {
  return new HsmError('ERR_HSM_CLOSED', `${member}: closed`, { member });
}

export function aborted(member: string, signal: AbortSignal | undefined): HsmError {
  return new HsmError('ERR_HSM_ABORTED', `${member}: the caller aborted`, { member, cause: signal?.reason });
}

export function overloaded(member: string, queueLimit: number): HsmError {
  const message = `${member}: want fewer than ${queueLimit} calls waiting`;
  return new HsmError('ERR_HSM_OVERLOADED', message, { member, retryable: true });
}

/** @param trouble  why no agent could be started, if that is what the call waited for */
export function timedOut(member: string, call: Call, trouble: HsmError | undefined): HsmError {
  const waited = Math.round(performance.now() - call.startedAt);
  const message = `${member}: want an answer to ${call.verb} in time, got none in ${waited} ms`;
  return new HsmError('ERR_HSM_TIMEOUT', message, { member, retryable: true, cause: trouble });
}

export function outcomeUnknown(member: string, call: Call, cause?: unknown): HsmError {
  const message = `${member}: ${call.verb} was sent to the token and its outcome is unknown`;
  return new HsmError('ERR_HSM_OUTCOME_UNKNOWN', message, { member, retryable: true, cause });
}

export function hung(member: string, verb: Verb, limitMilliseconds: number): HsmError {
  const message = `${member}: want ${verb} to take less than ${limitMilliseconds} ms on the token, got no answer`;
  return new HsmError('ERR_HSM_UNAVAILABLE', message, { member, retryable: true });
}
