import type { Fleet } from '../fleet/fleet.js';
import type { ReplicationMember } from './replication-member.js';

/** The members of a fleet, as replication sees them: each call goes to that one or fails. */
export function fleetMembers(fleet: Fleet): ReplicationMember[] {
  return fleet.members.map((member) => ({
    name: member.name,
    fingerprint: member.config.fingerprint,
    get isReachable() {
      return member.isReachable;
    },
    get token() {
      return member.token;
    },
    call: (verb, request, options) => fleet.callOn(member, verb, request, options),
  }));
}
