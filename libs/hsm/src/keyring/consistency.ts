/** Holds what is on the members against each other, against what every key should be, and against the keyring. */
import type { ObjectReport } from '../agent/protocol.js';
import type { HsmErrorCode } from '../errors.js';
import type { KeyDescription, KeyId } from '../key/key.js';
import { isVersionedId } from '../key/key-version.js';
import { type Finding, Findings, type KeyName } from './consistency-finding.js';
import { infrastructureLabels } from './infrastructure.js';
import type { KeyringRecord } from './keyring-record.js';

/** What one member has, or why it could not be asked. */
export type Inventory =
  | { readonly member: string; readonly objects: readonly ObjectReport[] }
  | { readonly member: string; readonly unreachable: HsmErrorCode };

export interface Expectations {
  readonly quorum: number;
  /** What the keyring has, where keys are replicated wrapped. */
  readonly records?: readonly KeyringRecord[];
  /** Keys that were destroyed or are being so. */
  readonly isDestroyed: (id: KeyId) => boolean;
}

/** An object of another program, or one that cannot be told to be ours. It is not touched. */
export interface ForeignObject extends Pick<ObjectReport, 'id' | 'label' | 'kind'> {
  readonly member: string;
}

/** One key as one member has it. */
export interface HeldKey extends KeyName, Pick<KeyDescription, 'algorithm' | 'usage'> {
  readonly member: string;
  readonly spki?: Buffer;
  /** CKA_CHECK_VALUE. */
  readonly digest?: string;
}

export interface Comparison {
  readonly findings: readonly Finding[];
  readonly foreign: readonly ForeignObject[];
  /** Each key that is whole, by id, as each member that was asked has it: those of one member alone are left out. */
  readonly keys: ReadonlyMap<KeyId, readonly HeldKey[]>;
}

export function compare(inventories: readonly Inventory[], expectations: Expectations): Comparison {
  const findings = new Findings();
  const foreign: ForeignObject[] = [];
  const keys = new Map<KeyId, HeldKey[]>();
  const recorded = new Set(expectations.records?.map(({ id }): string => id));
  const asked: string[] = [];
  for (const inventory of inventories) {
    const { member } = inventory;
    if ('unreachable' in inventory) {
      findings.unreachable(member, inventory.unreachable);
      continue;
    }
    asked.push(member);
    for (const [id, objects] of byId(inventory.objects)) {
      if (!isOurs(id, objects, recorded)) foreign.push(...objects.map((object) => describe(member, object)));
      else inspect(findings, member, id as KeyId, objects).forEach((key) => add(keys, key));
    }
  }
  for (const held of keys.values()) {
    if (expectations.isDestroyed(held[0].id)) findings.destroyed(held[0], members(held));
    else compareHolders(findings, held, asked, expectations);
  }
  if (expectations.records) compareRecords(findings, keys, asked, expectations.records, expectations.isDestroyed);
  return { findings: findings.all, foreign, keys };
}

/** The objects of each CKA_ID. Session objects are on their way and no concern of an audit. */
function byId(objects: readonly ObjectReport[]): Map<string, ObjectReport[]> {
  const groups = new Map<string, ObjectReport[]>();
  for (const object of objects) {
    if (object.isToken) groups.set(object.id, [...(groups.get(object.id) ?? []), object]);
  }
  return groups;
}

/** By its id, by the keyring, or because it is just as we make them. */
function isOurs(id: string, objects: readonly ObjectReport[], recorded: ReadonlySet<string>): boolean {
  if (!/^[0-9a-f]{32}$/.test(id)) return false;
  const isOfOurMaking = ({ label }: ObjectReport): boolean => isVersionedId({ id: id as KeyId, label });
  const isOurOwn = ({ label }: ObjectReport): boolean => infrastructureLabels.includes(label);
  return (
    recorded.has(id) ||
    objects.some((object) => isOfOurMaking(object) || isOurOwn(object)) ||
    objects.every(({ faults }) => faults.length === 0)
  );
}

/** @returns the key, when it is one that can be compared with the other members' */
function inspect(findings: Findings, member: string, id: KeyId, objects: readonly ObjectReport[]): HeldKey[] {
  const [first] = objects;
  const name = { id, label: first.label };
  for (const { kind, faults } of objects) if (faults.length > 0) findings.attributes(name, member, kind, faults);
  const ofKind = (kind: ObjectReport['kind']): ObjectReport[] => objects.filter((each) => each.kind === kind);
  const [privates, publics, secrets] = [ofKind('private'), ofKind('public'), ofKind('secret')];
  if (privates.length + secrets.length > 1 || publics.length > 1) {
    findings.doubled(name, member, objects.length);
    return [];
  }
  if (secrets.length === 1) {
    if (publics.length > 0) findings.halves(name, member, 'a public half beside a secret key');
  } else if (privates.length === 0) {
    findings.halves(name, member, 'a public half without its private one');
    return [];
  } else if (publics.length === 0) {
    findings.halves(name, member, 'a private half without its public one');
  } else if (!isOnePair(privates[0], publics[0])) {
    findings.halves(name, member, 'two halves of different label, algorithm or usage');
  }
  const { algorithm, usage, digest, label } = [...privates, ...secrets][0];
  if (algorithm === undefined || usage === undefined || infrastructureLabels.includes(label)) return [];
  return [{ id, label, member, algorithm, usage, digest, spki: publics[0]?.spki }];
}

function isOnePair(one: ObjectReport, other: ObjectReport): boolean {
  return one.label === other.label && one.algorithm === other.algorithm && one.usage === other.usage;
}

function compareHolders(
  findings: Findings,
  held: readonly HeldKey[],
  asked: readonly string[],
  { records, quorum }: Expectations,
): void {
  const [first, ...others] = held;
  for (const other of others) {
    const differs = (['label', 'algorithm', 'usage'] as const).filter((name) => first[name] !== other[name]);
    if (differs.length > 0) findings.differs(first, first.member, other.member, differs.join(' and '));
    if (isAnother(first.spki, other.spki)) findings.differs(first, first.member, other.member, 'public key');
    if (first.digest !== undefined && other.digest !== undefined && first.digest !== other.digest)
      findings.differs(first, first.member, other.member, 'check value');
  }
  const missing = asked.filter((member) => held.every((key) => key.member !== member));
  const record = records?.find(({ id }) => id === first.id);
  if (record?.members.some((member) => missing.includes(member))) return;
  if (missing.length > 0)
    findings.missing(first, missing, held.length < Math.min(quorum, asked.length), records !== undefined);
}

/** What the keyring says, of keys that are there and of keys that are not. */
function compareRecords(
  findings: Findings,
  keys: ReadonlyMap<KeyId, readonly HeldKey[]>,
  asked: readonly string[],
  records: readonly KeyringRecord[],
  isDestroyed: (id: KeyId) => boolean,
): void {
  const recorded = new Set(records.map(({ id }) => id));
  for (const [id, held] of keys) if (!recorded.has(id) && !isDestroyed(id)) findings.unrecorded(held[0], members(held));
  for (const record of records) {
    if (isDestroyed(record.id)) continue;
    if (record.state !== 'sealed') {
      findings.unfinished(record, record.state);
      continue;
    }
    const held = keys.get(record.id) ?? [];
    const lacking = record.members.filter(
      (name) => asked.includes(name) && held.every(({ member }) => member !== name),
    );
    if (lacking.length > 0) findings.lost(record, lacking, held.length > 0, record.recovery.length > 0);
    const spki = record.spki === undefined ? undefined : Buffer.from(record.spki, 'base64');
    for (const key of held)
      if (isAnother(spki, key.spki)) findings.differs(key, 'the keyring', key.member, 'public key');
  }
}

function isAnother(one: Buffer | undefined, other: Buffer | undefined): boolean {
  return one !== undefined && other !== undefined && !one.equals(other);
}

function add(keys: Map<KeyId, HeldKey[]>, key: HeldKey): void {
  keys.set(key.id, [...(keys.get(key.id) ?? []), key]);
}

function members(held: readonly HeldKey[]): string[] {
  return held.map(({ member }) => member);
}

function describe(member: string, { id, label, kind }: ObjectReport): ForeignObject {
  return { member, id, label, kind };
}
