import type { Call } from './call.js';
import type { Member } from './member.js';
import type { WaitingCalls } from './waiting-calls.js';

/**
 * Whether a call cannot be answered within its deadline, even if all sessions of these members served its line alone, and no call
 * took longer than the quickest of its class do.
 * @param ahead  calls that are before it in its line
 */
export function isHopeless(
  { deadline, trafficClass }: Call,
  members: readonly Member[],
  ahead: number,
  now: number,
): boolean {
  let quick = Infinity;
  let sessions = 0;
  for (const { isReachable, latencyOf, config } of members) {
    if (!isReachable) continue;
    quick = Math.min(quick, latencyOf[trafficClass].quick ?? 0);
    sessions += config.sessions;
  }
  return sessions > 0 && deadline - now < quick * (1 + Math.floor(ahead / sessions));
}

/**
 * Whether others of its line would make better use of a session of that member. Who is last is served even so, or nobody would learn
 * that the member is quick again.
 */
export function isWaste(call: Call, member: Member, waiting: Pick<WaitingCalls, 'lengthOf'>, now: number): boolean {
  if (call.only !== undefined || waiting.lengthOf(call.trafficClass) === 1) return false;
  return isHopeless(call, [member], 0, now);
}
