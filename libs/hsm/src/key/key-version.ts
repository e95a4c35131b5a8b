/**
 * Versions of a key: keys of one label, made one after the other, of which the newest signs and encrypts and each stays usable
 * for what it did before. Every token and every member keeps what a version is, without a clock and without a list of its own:
 * it is in CKA_ID, which no token changes.
 *
 *   CKA_ID = lineage (4 bytes) ‖ version (u16) ‖ day it was made (u16, days since 1970-01-01) ‖ random (4) ‖ check (4)
 *
 * Integers are big-endian. The lineage is drawn for a first version and kept by those that follow, so that two keys that only
 * happen to have one label are no versions of each other. The check is over the label and all bytes before it. An id that was
 * not made so (by an earlier release, or by another program) is the first version of a lineage of its own, of unknown age.
 */
import { createHash, randomBytes } from 'node:crypto';
import { HsmError } from '../errors.js';
import type { KeyDescription, KeyId } from './key.js';

const lineageBytes = 4;
const randomPartBytes = 4;
const checkBytes = 4;
const largestVersion = 0xffff;
const dayMilliseconds = 86_400_000;

/** What the id of a key says of it. */
export interface KeyVersion {
  /** 8 hexadecimal digits that all versions of one key share. */
  readonly lineage: string;
  /** 1 for the first. */
  readonly version: number;
  /** The day it was made (UTC), `YYYY-MM-DD`; absent when its id does not say. */
  readonly madeOn?: string;
}

type Named = Pick<KeyDescription, 'id' | 'label'>;

/** The id of a first version: of a lineage of its own, or of the one that is given. */
export function newKeyId(label: string, lineage = randomBytes(lineageBytes).toString('hex'), now = new Date()): KeyId {
  return formatId(label, lineage, 1, now);
}

/**
 * The lineage that whoever makes the first key of a label meets the others in, who may be doing so at the same moment: their
 * keys are versions of each other.
 */
export function lineageOfLabel(label: string): string {
  return digest('lineage of a label', label).toString('hex', 0, lineageBytes);
}

/**
 * The id of the version that follows one.
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID after the 65535th
 */
export function nextKeyId(newest: Named, now = new Date()): KeyId {
  const { lineage, version } = versionOf(newest);
  if (version < largestVersion) return formatId(newest.label, lineage, version + 1, now);
  throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `key "${newest.label}": want at most ${largestVersion} versions`);
}

export function versionOf({ id, label }: Named): KeyVersion {
  const bytes = Buffer.from(id, 'hex');
  const body = bytes.subarray(0, -checkBytes);
  if (!check(label, body).equals(bytes.subarray(-checkBytes))) {
    return { lineage: digest('lineage of an id', id).toString('hex', 0, lineageBytes), version: 1 };
  }
  return {
    lineage: body.toString('hex', 0, lineageBytes),
    version: body.readUInt16BE(lineageBytes),
    madeOn: new Date(body.readUInt16BE(lineageBytes + 2) * dayMilliseconds).toISOString().slice(0, 10),
  };
}

/** Whether the id was made here, for a key of that label. */
export function isVersionedId(key: Named): boolean {
  return versionOf(key).madeOn !== undefined;
}

/** Whether these are versions of one key: of one label, lineage, algorithm and usage. */
export function areVersions(keys: readonly KeyDescription[]): boolean {
  const identity = (key: KeyDescription): string =>
    JSON.stringify([key.label, versionOf(key).lineage, key.algorithm, key.usage]);
  return new Set(keys.map(identity)).size === 1;
}

/** The newest first. Two that were made at the same moment have one number; their ids then decide, everywhere alike. */
export function newestFirst<Key extends Named>(keys: readonly Key[]): Key[] {
  return keys.toSorted((a, b) => versionOf(b).version - versionOf(a).version || (a.id < b.id ? 1 : -1));
}

function formatId(label: string, lineage: string, version: number, now: Date): KeyId {
  const facts = Buffer.alloc(4);
  facts.writeUInt16BE(version);
  facts.writeUInt16BE(Math.floor(now.getTime() / dayMilliseconds), 2);
  const body = Buffer.concat([Buffer.from(lineage, 'hex'), facts, randomBytes(randomPartBytes)]);
  return Buffer.concat([body, check(label, body)]).toString('hex') as KeyId;
}

function check(label: string, body: Buffer): Buffer {
  return digest('id of a key version', label, body).subarray(0, checkBytes);
}

function digest(purpose: string, ...parts: readonly (string | Buffer)[]): Buffer {
  const hash = createHash('sha256').update(`nest-hsm: ${purpose}\0`);
  for (const part of parts) hash.update(part);
  return hash.digest();
}
