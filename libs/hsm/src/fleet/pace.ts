import type { Call } from './call.js';
import type { Member } from './member.js';

/**
 * Whether a call cannot be answered within its deadline, even if all sessions of these members served its line alone, and no call
 * took longer than the quickest do.
 * @param ahead  calls that are before it in its line
 */
export function isHopeless({ deadline }: Call, members: readonly Member[], ahead: number, now: number): boolean {
  let quick = Infinity;
  let sessions = 0;
  for (const { isReachable, latency, config } of members) {
    if (!isReachable) continue;
    quick = Math.min(quick, latency.quick ?? 0);
    sessions += config.sessions;
  }
  return sessions > 0 && deadline - now < quick * (1 + Math.floor(ahead / sessions));
}
