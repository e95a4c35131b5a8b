import type { ObjectReport } from '../agent/protocol.js';
import { HsmError } from '../errors.js';
import type { FleetCallOptions } from '../fleet/call-options.js';
import type { KeyId } from '../key/key.js';
import {
  compare,
  type Comparison,
  type Expectations,
  type ForeignObject,
  type HeldKey,
  type Inventory,
} from './consistency.js';
import { type Finding, Findings } from './consistency-finding.js';
import type { KeyringRecord } from './keyring-record.js';
import type { ReplicationMember } from './replication-member.js';

export interface ConsistencyReport {
  /** True only when every member was asked and nothing is wrong. */
  readonly isConsistent: boolean;
  readonly members: readonly { readonly member: string; readonly objects?: number; readonly unreachable?: string }[];
  /** How many keys were compared. */
  readonly keys: number;
  readonly findings: readonly Finding[];
  readonly foreign: readonly ForeignObject[];
}

/** Looks at every object of every member that can be asked, and at the check value of every secret key. Changes nothing. */
export async function auditConsistency(
  members: readonly ReplicationMember[],
  expectations: Expectations,
  options: FleetCallOptions,
): Promise<ConsistencyReport> {
  const inventories = await Promise.all(members.map((member) => inventory(member, options)));
  const comparison = compare(inventories, expectations);
  const findings = [...comparison.findings, ...(await checkValues(members, comparison, expectations, options))];
  return {
    isConsistent: findings.every(({ severity }) => severity === 'notice'),
    members: inventories.map((each) =>
      'objects' in each ? { member: each.member, objects: each.objects.length } : each,
    ),
    keys: comparison.keys.size,
    findings,
    foreign: comparison.foreign,
  };
}

async function inventory(member: ReplicationMember, options: FleetCallOptions): Promise<Inventory> {
  const objects: ObjectReport[] = [];
  try {
    for (let after: string | undefined; ;) {
      const page = await member.call('inspectObjects', { after }, options);
      objects.push(...page.objects);
      if (page.next === undefined) return { member: member.name, objects };
      after = page.next;
    }
  } catch (error) {
    return { member: member.name, unreachable: codeOf(error) };
  }
}

async function checkValues(
  members: readonly ReplicationMember[],
  { keys }: Comparison,
  { records = [], isDestroyed }: Expectations,
  options: FleetCallOptions,
): Promise<readonly Finding[]> {
  const findings = new Findings();
  const recordOf = new Map<KeyId, KeyringRecord>(records.map((record) => [record.id, record]));
  for (const [id, held] of keys) {
    if (held[0].spki !== undefined || isDestroyed(id)) continue;
    const holders = members.filter(({ name }) => held.some(({ member }) => member === name));
    await compareCheckValues(findings, held[0], holders, recordOf.get(id)?.checkValue, options);
  }
  return findings.all;
}

/** The one that the keyring has, or the first member's, is shown to the others: each says whether its key made it. */
async function compareCheckValues(
  findings: Findings,
  key: HeldKey,
  holders: readonly ReplicationMember[],
  recorded: string | undefined,
  options: FleetCallOptions,
): Promise<void> {
  const [first, ...others] = holders;
  const names = holders.map(({ name }) => name);
  if (others.length === 0 && recorded === undefined) return;
  if (key.usage === 'wrap') {
    // CKA_CHECK_VALUE was compared where the tokens have it.
    if (key.digest === undefined) findings.uncompared(key, names, 'keys that wrap have no check value of ours');
    return;
  }
  try {
    const checkValue =
      recorded === undefined
        ? (await first.call('checkKey', { keyId: key.id }, options)).checkValue
        : Buffer.from(recorded, 'base64');
    if (checkValue === undefined) return findings.uncompared(key, names, `${first.name} makes no check value`);
    const asked = recorded === undefined ? others : holders;
    const source = recorded === undefined ? first.name : 'the keyring';
    const answers = await Promise.all(
      asked.map((member) => member.call('checkKey', { keyId: key.id, checkValue }, options)),
    );
    asked.forEach(({ name }, index) => {
      if (!answers[index].matches) findings.otherKey(key, source, name);
    });
  } catch (error) {
    // What is unsafe or doubled was found before; a member that went away meanwhile was not.
    findings.unreachable(names.join(', '), codeOf(error));
  }
}

function codeOf(error: unknown): HsmError['code'] {
  return error instanceof HsmError ? error.code : 'ERR_HSM_PROTOCOL';
}
