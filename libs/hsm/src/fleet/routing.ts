import type { Call } from './call.js';
import type { KeyHolders } from './key-holders.js';
import type { Member } from './member.js';

/** A member this many times slower than the fastest, and this much, is given what no other can take. */
const slowFactor = 5;
const slowMilliseconds = 20;

/**
 * Where a call goes: of the best members that may serve it, the one with the least in flight. Sound members come before those
 * that are slow or seem frozen, these before ones on probation, and these before ones that lately said they lack the key. A call waits for room on a
 * better member rather than go to a worse one at once.
 * @returns undefined when it has to wait
 */
export function route(members: readonly Member[], call: Call, holders: KeyHolders, now: number): Member | undefined {
  let chosen: Member | undefined;
  let chosenRank = Infinity;
  for (const member of members) {
    if (!mayServe(member, call)) continue;
    const rank = members.length === 1 ? 0 : rankOf(member, members, call, holders, now);
    const isBetter = rank < chosenRank || (rank === chosenRank && isLessBusy(member, chosen as Member));
    if (!isBetter) continue;
    chosen = member;
    chosenRank = rank;
  }
  return chosen?.hasRoom === true ? chosen : undefined;
}

/** Whether it may be sent the call, now or when it has room, and is not known to lack the key. */
export function isServer(member: Member, call: Call, holders: KeyHolders, now: number): boolean {
  return mayServe(member, call) && (call.keyId === undefined || holders.mayHold(member, call.keyId, now));
}

/** Whether it is so much slower than the fastest that calls had better go elsewhere. */
export function isSlow(member: Member, members: readonly Member[]): boolean {
  const { median } = member.latency;
  if (median === undefined || median < slowMilliseconds) return false;
  const fastest = Math.min(...members.map((each) => (each.isReachable ? each.latency.median : undefined) ?? Infinity));
  return median > slowFactor * fastest + slowMilliseconds;
}

function mayServe(member: Member, call: Call): boolean {
  if (!member.isReachable || (call.only !== undefined && call.only !== member)) return false;
  return call.tried?.includes(member) !== true;
}

function rankOf(member: Member, members: readonly Member[], call: Call, holders: KeyHolders, now: number): number {
  if (!isServer(member, call, holders, now)) return 3;
  if (member.state === 'probation') return 2;
  return member.isSuspect(now) || isSlow(member, members) ? 1 : 0;
}

function isLessBusy(member: Member, other: Member): boolean {
  return member.inFlight / member.config.sessions < other.inFlight / other.config.sessions;
}
