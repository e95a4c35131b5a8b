import type { KeyAlgorithm } from '../../../algorithm/key-algorithm.js';
import { type KeyId, type KeyUsage, keyUsages } from '../../../key/key.js';
import type { NewKey } from '../../protocol.js';
import { ck } from './native.js';
import { type ObjectKind, protections, roleOf, template } from './template.js';
import { vendorProfile } from './vendor-profile.js';

const softhsm = vendorProfile('softhsm', { manufacturer: '', model: '' });
const generic = vendorProfile('generic', { manufacturer: '', model: '' });
const id = '00112233445566778899aabbccddeeff' as KeyId;
const newKey = (algorithm: KeyAlgorithm, usage: KeyUsage, extractable = false): NewKey => ({
  id,
  label: 'key',
  algorithm,
  usage,
  extractable,
});

const usageFlags = [
  'CKA_ENCRYPT', 'CKA_DECRYPT', 'CKA_SIGN', 'CKA_SIGN_RECOVER', 'CKA_VERIFY', 'CKA_VERIFY_RECOVER', 'CKA_WRAP', 'CKA_UNWRAP', 'CKA_DERIVE',
] as const; // prettier-ignore

const rows: [ObjectKind, KeyAlgorithm, KeyUsage, string[]][] = [
  ['private', 'rsa-2048', 'sign', ['CKA_SIGN']],
  ['public', 'rsa-2048', 'sign', ['CKA_VERIFY']],
  ['private', 'rsa-2048', 'unwrap', ['CKA_UNWRAP']],
  ['public', 'rsa-2048', 'unwrap', ['CKA_WRAP']],
  ['private', 'ec-p256', 'sign', ['CKA_SIGN']],
  ['secret', 'aes-256', 'encrypt', ['CKA_ENCRYPT', 'CKA_DECRYPT']],
  ['secret', 'aes-256', 'wrap', ['CKA_WRAP', 'CKA_UNWRAP']],
  ['secret', 'hmac-sha256', 'mac', ['CKA_SIGN', 'CKA_VERIFY']],
];

test.each(rows)('%s %s to %s: every usage is stated, and only its own is true', (kind, algorithm, usage, granted) => {
  const attributes = new Map(
    template(softhsm, kind, newKey(algorithm, usage), []).map(({ type, value }) => [type, value]),
  );
  const stated = usageFlags.filter((flag) => attributes.has(ck[flag]));
  expect(stated.filter((flag) => attributes.get(ck[flag]) === true)).toEqual(granted);
  expect(stated.length).toBe(kind === 'secret' ? 7 : 5);
  expect(attributes.get(ck.CKA_TOKEN)).toBe(true);
  expect(attributes.get(ck.CKA_PRIVATE)).toBe(true);
  expect(attributes.get(ck.CKA_MODIFIABLE)).toBe(false);
  expect(attributes.get(ck.CKA_COPYABLE)).toBe(false);
  expect(attributes.get(ck.CKA_ID)).toEqual(Buffer.from(id, 'hex'));
  if (kind === 'public') return;
  expect(attributes.get(ck.CKA_SENSITIVE)).toBe(true);
  expect(attributes.get(ck.CKA_EXTRACTABLE)).toBe(false);
});

test('an extractable key is a session object, still sensitive', () => {
  const role = roleOf(newKey('aes-256', 'encrypt', true));
  const list = protections(softhsm, 'secret', role);
  expect(list).toEqual(
    expect.arrayContaining([
      { name: 'CKA_TOKEN', value: false },
      { name: 'CKA_EXTRACTABLE', value: true },
      { name: 'CKA_SENSITIVE', value: true },
    ]),
  );
});

test('MODIFIABLE is locked last, after all that it locks', () => {
  for (const profile of [softhsm, generic]) {
    for (const [kind, algorithm, usage] of rows) {
      const names = protections(profile, kind, roleOf(newKey(algorithm, usage))).map(({ name }) => name);
      expect(names.at(-1)).toBe('CKA_MODIFIABLE');
      expect(new Set(names).size).toBe(names.length);
    }
  }
});

test('roles are disjoint: no two usages of one algorithm share a granted attribute', () => {
  for (const [kind, algorithm] of rows) {
    const granted = keyUsages.flatMap((usage) => {
      try {
        const list = protections(softhsm, kind, roleOf(newKey(algorithm, usage)));
        return list.filter(({ name, value }) => value === true && usageFlags.some((flag) => flag === name));
      } catch {
        return [];
      }
    });
    expect(new Set(granted.map(({ name }) => name)).size).toBe(granted.length);
  }
});

test.each([
  ['ec-p256', 'unwrap'],
  ['ed25519', 'encrypt'],
  ['rsa-2048', 'encrypt'],
  ['aes-256', 'sign'],
  ['hmac-sha256', 'encrypt'],
] as const)('%s to %s is refused', (algorithm, usage) => {
  expect(() => roleOf(newKey(algorithm, usage))).toThrow(
    expect.objectContaining({ code: 'ERR_HSM_ARGUMENT_INVALID' }) as Error,
  );
});
