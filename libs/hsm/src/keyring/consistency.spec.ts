import type { ObjectReport } from '../agent/protocol.js';
import type { KeyId } from '../key/key.js';
import { newKeyId } from '../key/key-version.js';
import { compare, type Inventory } from './consistency.js';
import type { KeyringRecord } from './keyring-record.js';

const id = newKeyId('kek');
const secret = (changes: Partial<ObjectReport> = {}): ObjectReport => ({
  ...{ id, kind: 'secret', label: 'kek', isToken: true, algorithm: 'aes-256', usage: 'encrypt', digest: 'aabbcc' },
  faults: [],
  ...changes,
});
const half = (kind: 'private' | 'public', changes: Partial<ObjectReport> = {}): ObjectReport =>
  secret({ kind, algorithm: 'ec-p256', usage: 'sign', digest: undefined, ...changes });
const on = (member: string, ...objects: ObjectReport[]): Inventory => ({ member, objects });
const record = (changes: Partial<KeyringRecord> = {}): KeyringRecord => ({
  ...{ version: 1, id, label: 'kek', algorithm: 'aes-256', usage: 'encrypt', state: 'sealed', generation: 1 },
  ...{ members: ['a', 'b'], recovery: [] },
  ...changes,
});

const found = (inventories: Inventory[], records?: KeyringRecord[], destroyed: string[] = []) =>
  compare(inventories, { quorum: 2, records, isDestroyed: (each: KeyId) => destroyed.includes(each) }).findings.map(
    ({ kind, severity, members }) => [kind, severity, ...members],
  );

it.each<[string, Inventory[], KeyringRecord[] | undefined, unknown[]]>([
  ['is on both', [on('a', secret()), on('b', secret())], undefined, []],
  ['is on both, as recorded', [on('a', secret()), on('b', secret())], [record()], []],
  ['has a whole pair', [on('a', half('private'), half('public'))], undefined, []],
  ['is being made', [on('a', secret(), secret({ isToken: false }))], undefined, []],
  ['lacks a member', [on('a', secret()), on('b')], undefined, [['missing', 'fault', 'b']]],
  ['is above the quorum', [on('a', secret()), on('b', secret()), on('c')], [record()], [['missing', 'notice', 'c']]],
  ['is not where it is recorded', [on('a', secret()), on('b')], [record()], [['lost', 'fault', 'b']]],
  ['is nowhere', [on('a'), on('b')], [record()], [['lost', 'fault', 'a', 'b']]],
  ['is not recorded', [on('a', secret()), on('b', secret())], [], [['unrecorded', 'fault', 'a', 'b']]],
  ['is half made', [on('a')], [record({ state: 'pending' })], [['unfinished', 'fault']]],
  ['has another label', [on('a', secret()), on('b', secret({ label: 'other' }))], undefined, [['differs', 'fault', 'a', 'b']]],
  ['has another check value', [on('a', secret()), on('b', secret({ digest: '00' }))], undefined, [['differs', 'fault', 'a', 'b']]],
  ['has another public key', [on('a', half('private'), half('public', { spki: Buffer.of(1) })), on('b', half('private'), half('public', { spki: Buffer.of(2) }))], undefined, [['differs', 'fault', 'a', 'b']]],
  ['is there twice', [on('a', secret(), secret())], undefined, [['doubled', 'fault', 'a']]],
  ['has no public half', [on('a', half('private'))], undefined, [['halves', 'fault', 'a']]],
  ['has no private half', [on('a', half('public'))], undefined, [['halves', 'fault', 'a']]],
  ['has halves of two usages', [on('a', half('private'), half('public', { usage: 'unwrap' }))], undefined, [['halves', 'fault', 'a']]],
  ['may do too much', [on('a', secret({ faults: ['CKA_WRAP: want false, got true'] }))], undefined, [['attributes', 'fault', 'a']]],
  ['cannot be asked for', [on('a', secret()), { member: 'b', unreachable: 'ERR_HSM_TIMEOUT' }], undefined, [['unreachable', 'unknown', 'b']]],
])('a key that %s', (_, inventories, records, expected) => {
  expect(found(inventories, records)).toEqual(expected);
}); // prettier-ignore

it('a key that was destroyed and is still there is nothing else', () => {
  expect(found([on('a', secret()), on('b')], [record()], [id])).toEqual([['destroyed', 'fault', 'a']]);
});

it.each<[string, Partial<ObjectReport>, boolean]>([
  ['no id', { id: '' }, true],
  ['an id of another length', { id: 'abcd' }, true],
  ['an id of our length, and attributes that we never make', { id: 'ab'.repeat(16), faults: ['x'] }, true],
  ['an id of our length, and all as we make it', { id: 'ab'.repeat(16) }, false],
  ['the label of a key of our own', { id: 'ab'.repeat(16), label: 'nest-hsm-member', faults: ['x'] }, false],
])('an object with %s', (_, changes, isForeign) => {
  const { foreign } = compare([on('a', secret(changes))], { quorum: 1, isDestroyed: () => false });
  expect(foreign.length === 1).toBe(isForeign);
});
