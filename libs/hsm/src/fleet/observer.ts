import type { TokenDescription, Verb } from '../agent/protocol.js';
import type { TrafficClass } from '../agent/traffic-class.js';
import type { HsmError, HsmErrorCode } from '../errors.js';
import type { KeyId } from '../key/key.js';
import type { CallPurpose } from './call-options.js';
import type { CallCode } from './call.js';
import type { MemberState } from './member-state.js';

/** What an application may watch of an Hsm, e.g. to count or record it. Called synchronously: be quick. Never told any data. */
export interface HsmObserver {
  /** A call was settled, however often it went to an agent. */
  callEnded?(call: CallEvent): void;
  /** A member answered a call, failed it or was lost with it. */
  attemptEnded?(attempt: AttemptEvent): void;
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

/**
 * Who asked for what of which key, and what came of it. Calls that were shed are those with no attempts and ERR_HSM_OVERLOADED (no
 * place was left) or ERR_HSM_TIMEOUT (it was too late, or could not but be).
 */
export interface CallEvent {
  readonly verb: Verb;
  readonly code: CallCode;
  /** From the caller's call to its answer. */
  readonly milliseconds: number;
  /** As much of that as it waited for a session: until it was first sent, or, where it never was, to its end. */
  readonly queuedMilliseconds: number;
  readonly trafficClass: TrafficClass;
  readonly purpose: CallPurpose;
  /** The application, as the configuration names it. */
  readonly client: string;
  /** As the caller gave it; empty when it gave none. */
  readonly correlationId: string;
  /** Absent where the call is about no key, or about those that a search finds. */
  readonly keyId?: KeyId;
  /** The member that it was last with; absent when it never was with any. */
  readonly member?: string;
  /** How often it went to a member: more than once when it was moved or hedged. */
  readonly attempts: number;
}

/** What one member did with one call. */
export interface AttemptEvent {
  readonly member: string;
  readonly verb: Verb;
  readonly code: CallCode;
  /** From its leaving this process. */
  readonly milliseconds: number;
  readonly purpose: CallPurpose;
}

/** What is told of every call is absent where nobody listens, and so costs calls nothing. */
export type GuardedObserver = Pick<HsmObserver, 'callEnded' | 'attemptEnded'> & Required<HsmObserverOfAgents>;
type HsmObserverOfAgents = Omit<HsmObserver, 'callEnded' | 'attemptEnded'>;

/** The same observer, whose faults are warnings of the process and never those of a call. */
export function guarded(observer: HsmObserver): GuardedObserver {
  const guard = (watch: () => void): void => {
    try {
      watch();
    } catch (error) {
      process.emitWarning(`an observer of an Hsm failed: ${String(error)}`);
    }
  };
  return {
    callEnded: observer.callEnded && ((call) => guard(() => observer.callEnded?.(call))),
    attemptEnded: observer.attemptEnded && ((attempt) => guard(() => observer.attemptEnded?.(attempt))),
    agentStarted: (token, member) => guard(() => observer.agentStarted?.(token, member)),
    agentLost: (reason, member) => guard(() => observer.agentLost?.(reason, member)),
    agentRefused: (reason, member) => guard(() => observer.agentRefused?.(reason, member)),
    callMoved: (member, code) => guard(() => observer.callMoved?.(member, code)),
    callHedged: (member, other) => guard(() => observer.callHedged?.(member, other)),
  };
}

/** How busy an Hsm is. */
export interface HsmLoad {
  /** Calls that agents can work on at once, of the members that are there. */
  readonly sessions: number;
  /** Calls that an agent works on. */
  readonly inFlight: number;
  /** Calls that wait for a session. */
  readonly queued: number;
  readonly queuedByClass: Readonly<Record<TrafficClass, number>>;
}

/** What is known of one member. */
export interface MemberStatus {
  readonly name: string;
  readonly state: MemberState;
  /** What its agent found when it last logged in. */
  readonly token?: TokenDescription;
  readonly inFlight: number;
  /** A call has been with it for so long that it may be frozen: others are asked first, though its time is not over yet. */
  readonly isSuspect: boolean;
  /** Of its recent calls. */
  readonly medianMilliseconds?: number;
  /** Why it does not serve, or what it last failed with. */
  readonly trouble?: HsmError;
}
