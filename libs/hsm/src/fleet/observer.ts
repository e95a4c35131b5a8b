import type { TokenDescription, Verb } from '../agent/protocol.js';
import type { HsmError, HsmErrorCode } from '../errors.js';

/** What an application may watch of an Hsm, e.g. to count it. Called synchronously: be quick. */
export interface HsmObserver {
  /** A call was settled, however often it went to an agent. */
  callEnded?(verb: Verb, code: HsmErrorCode | 'OK', milliseconds: number): void;
  /** An agent is logged in: the first one, or one in place of an agent that was lost. */
  agentStarted?(token: TokenDescription): void;
  /** An agent crashed, hung or lost its HSM. It is replaced. */
  agentLost?(reason: HsmError): void;
  /** An agent could not be started; another attempt follows, unless the error is one that no attempt mends (a refused PIN). */
  agentRefused?(reason: HsmError): void;
}

/** The same observer, complete, whose faults are warnings of the process and never those of a call. */
export function guarded(observer: HsmObserver): Required<HsmObserver> {
  const guard = (watch: () => void): void => {
    try {
      watch();
    } catch (error) {
      process.emitWarning(`an observer of an Hsm failed: ${String(error)}`);
    }
  };
  return {
    callEnded: (verb, code, milliseconds) => guard(() => observer.callEnded?.(verb, code, milliseconds)),
    agentStarted: (token) => guard(() => observer.agentStarted?.(token)),
    agentLost: (reason) => guard(() => observer.agentLost?.(reason)),
    agentRefused: (reason) => guard(() => observer.agentRefused?.(reason)),
  };
}

/** How busy an Hsm is. */
export interface HsmLoad {
  /** Calls that an agent works on. */
  readonly inFlight: number;
  /** Calls that wait for a session. */
  readonly queued: number;
}
