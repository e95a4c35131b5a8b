/** What of a key is on one member, and that it be no more. */
import { HsmError } from '../errors.js';
import type { FleetCallOptions } from '../fleet/call-options.js';
import type { KeyId } from '../key/key.js';
import type { DestructionRecord } from './destruction-record.js';
import type { MemberOutcome } from './receipt.js';
import type { ReplicationMember } from './replication-member.js';

/** A member that fails half-way is asked once more: what it did is seen by looking, not by its answer. */
const tries = 2;

interface SoughtKey {
  readonly id: KeyId;
  /** Of a key pair, so that its copies under other ids are found too. */
  readonly spki?: Buffer;
}

/** Looks for every object of the key. @throws {HsmError} ERR_HSM_POLICY_DENIED and what the caller brought about, such as ERR_HSM_ABORTED */
export async function lookOnMember(
  member: ReplicationMember,
  { id, spki }: SoughtKey,
  options: FleetCallOptions,
): Promise<MemberOutcome> {
  const { name } = member;
  try {
    const { objects } = await member.call('inspectObjects', { id, spki }, options);
    const { label = '', serial = '' } = member.token ?? {};
    const found = objects.length;
    const state = found === 0 ? 'destroyed' : 'present';
    return { member: name, token: { label, serial }, state, found, left: found, lookedFor: new Date().toISOString() };
  } catch (error) {
    if (error instanceof HsmError && (error.fault === 'policy' || error.fault === 'caller')) throw error;
    return { member: name, state: 'unreachable', found: 0, reason: codeOf(error) };
  }
}

/**
 * Destroys every object of the key, and looks for it afterwards.
 * @throws {HsmError} as lookOnMember
 */
export async function destroyOnMember(
  member: ReplicationMember,
  record: DestructionRecord,
  options: FleetCallOptions,
): Promise<MemberOutcome> {
  const key = { id: record.id, spki: record.spki === undefined ? undefined : Buffer.from(record.spki, 'base64') };
  const before = await lookOnMember(member, key, options);
  let after = before;
  let reason = before.reason;
  for (let tried = 0; tried < tries && after.state === 'present'; tried++) {
    try {
      await member.call('destroyKey', { keyId: key.id, spki: key.spki }, options);
      reason = undefined;
    } catch (error) {
      if (error instanceof HsmError && error.fault === 'policy') throw error;
      reason = codeOf(error);
    }
    after = await lookOnMember(member, key, options);
  }
  const outcome = { ...after, found: Math.max(before.found, after.found) };
  return after.state === 'destroyed' ? outcome : { ...outcome, reason: after.reason ?? reason };
}

function codeOf(error: unknown): string {
  return error instanceof HsmError ? error.code : 'unknown';
}
