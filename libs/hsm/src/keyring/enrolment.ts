/**
 * Which RSA key a member takes keys in with (SECURITY.md, Replication, step 4). It is made on the member and never leaves it; its
 * fingerprint is compared by two people and then pinned in the configuration, so that whoever swaps a token or sits in between
 * is not sent a key.
 */
import { randomBytes } from 'node:crypto';
import { fingerprint } from '../algorithm/encoding-public-key.js';
import { type TransportAlgorithm, transportAlgorithmNames } from '../algorithm/wrapping-algorithm.js';
import { HsmError } from '../errors.js';
import { type KeyDescription, type KeyId, memberKeyLabel } from '../key/key.js';
import type { ReplicationMember } from './replication-member.js';

/** What a member takes keys in by. */
export interface Enrolment {
  readonly member: string;
  /** SHA-256 of its SubjectPublicKeyInfo, 64 hexadecimal digits. */
  readonly fingerprint: string;
}

/** A member whose key is the one that was pinned. */
export interface EnrolledMember {
  readonly member: ReplicationMember;
  readonly unwrappingKeyId: KeyId;
  readonly spki: Buffer;
  /** How a transport key goes to it. */
  readonly algorithm: TransportAlgorithm;
}

/** As `enrol`, for each of them. */
export function enrolAll(members: readonly ReplicationMember[]): Promise<Enrolment[]> {
  return Promise.all(members.map(async (member) => ({ member: member.name, fingerprint: await enrol(member) })));
}

/**
 * Makes the member's key, or finds the one that is there.
 * @returns its fingerprint, for two people to confirm
 * @throws {HsmError} ERR_HSM_KEY_AMBIGUOUS when there are two
 */
export async function enrol(member: ReplicationMember): Promise<string> {
  const key = (await findMemberKey(member)) ?? (await makeMemberKey(member));
  return fingerprint(key.spki as Buffer);
}

/** Whatever a key leaves for a member: another one, or the recovery token. */
export type KeySource = Pick<ReplicationMember, 'token'>;

/**
 * @param from  where keys for it will come from
 * @throws {HsmError} ERR_HSM_MEMBER_NOT_ENROLLED when the member has no key, or another one than was pinned
 */
export async function enrolled(member: ReplicationMember, from: KeySource): Promise<EnrolledMember> {
  const key = await findMemberKey(member);
  if (key?.spki === undefined) throw notEnrolled(member, `want a key labelled "${memberKeyLabel}", got none`);
  const got = fingerprint(key.spki);
  if (got !== member.fingerprint) {
    throw notEnrolled(member, `want the key of fingerprint ${member.fingerprint}, got ${got}: was the token replaced?`);
  }
  return { member, unwrappingKeyId: key.id, spki: key.spki, algorithm: transportAlgorithm(member, from) };
}

async function findMemberKey(member: ReplicationMember): Promise<KeyDescription | undefined> {
  const found = await member.call('findKeys', { label: memberKeyLabel, usage: 'unwrap' }, {});
  if (found.length <= 1) return found[0];
  const message = `${member.name}: want one key labelled "${memberKeyLabel}", got ${found.length}`;
  throw new HsmError('ERR_HSM_KEY_AMBIGUOUS', message, { member: member.name });
}

function makeMemberKey(member: ReplicationMember): Promise<KeyDescription> {
  const id = randomBytes(16).toString('hex') as KeyId;
  const terms = { label: memberKeyLabel, algorithm: 'rsa-3072', usage: 'unwrap', extractable: false } as const;
  return member.call('generateKey', { ...terms, id }, {});
}

/** The strongest that both tokens offer. @throws {HsmError} ERR_HSM_MECHANISM_UNSUPPORTED */
export function transportAlgorithm(
  member: Pick<ReplicationMember, 'name' | 'token'>,
  from: KeySource,
): TransportAlgorithm {
  const offered = transportAlgorithmNames.filter((name) =>
    [member, from].every(({ token }) => token?.mechanisms.includes(name)),
  );
  const strongest = offered.at(-1);
  if (strongest !== undefined) return strongest;
  const message = `${member.name}: want RSA-OAEP that both it and the token where its keys come from offer`;
  throw new HsmError('ERR_HSM_MECHANISM_UNSUPPORTED', message, { member: member.name });
}

function notEnrolled({ name }: ReplicationMember, fault: string): HsmError {
  return new HsmError('ERR_HSM_MEMBER_NOT_ENROLLED', `${name}: ${fault}`, { member: name });
}
