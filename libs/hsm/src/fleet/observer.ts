import type { TokenDescription, Verb } from '../agent/protocol.js';
import type { HsmError, HsmErrorCode } from '../errors.js';
import type { MemberState } from './member.js';

/** What an application may watch of an Hsm, e.g. to count it. Called synchronously: be quick. */
export interface HsmObserver {
  /** A call was settled, however often it went to an agent. */
  callEnded?(verb: Verb, code: HsmErrorCode | 'OK', milliseconds: number): void;
  /** An agent is logged in: the first one, or one in place of an agent that was lost. */
  agentStarted?(token: TokenDescription, member: string): void;
  /** An agent crashed, hung or lost its HSM. It is replaced. */
  agentLost?(reason: HsmError, member: string): void;
  /** An agent could not be started; another attempt follows, unless the error is one that no attempt mends (a refused PIN). */
  agentRefused?(reason: HsmError, member: string): void;
  /** A call that a member failed with that code is made again, on another or on its own next agent. */
  callMoved?(member: string, code: HsmErrorCode): void;
  /** A call that took long on one member was made on another too. */
  callHedged?(member: string, other: string): void;
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
    agentStarted: (token, member) => guard(() => observer.agentStarted?.(token, member)),
    agentLost: (reason, member) => guard(() => observer.agentLost?.(reason, member)),
    agentRefused: (reason, member) => guard(() => observer.agentRefused?.(reason, member)),
    callMoved: (member, code) => guard(() => observer.callMoved?.(member, code)),
    callHedged: (member, other) => guard(() => observer.callHedged?.(member, other)),
  };
}

/** How busy an Hsm is. */
export interface HsmLoad {
  /** Calls that an agent works on. */
  readonly inFlight: number;
  /** Calls that wait for a session. */
  readonly queued: number;
}

/** What is known of one member. */
export interface MemberStatus {
  readonly name: string;
  readonly state: MemberState;
  /** What its agent found when it last logged in. */
  readonly token?: TokenDescription;
  readonly inFlight: number;
  /** Of its recent calls. */
  readonly medianMilliseconds?: number;
  /** Why it does not serve, or what it last failed with. */
  readonly trouble?: HsmError;
}
