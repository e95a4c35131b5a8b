/**
 * What is asked of the token for a key. Every usage attribute is stated, because a token grants what is left out: a SoftHSM
 * AES key asked for ENCRYPT and DECRYPT alone also got WRAP, UNWRAP, SIGN and SENSITIVE=false (SECURITY.md). The same table
 * is what `key-inspection.ts` reads back before a key is first used.
 */
import { keyAlgorithms, type KeyAlgorithm, type KeyFamily } from '../../../algorithm/key-algorithm.js';
import { objectIdentifier } from '../../../algorithm/encoding-object-identifier.js';
import { HsmError } from '../../../errors.js';
import type { KeyUsage } from '../../../key/key.js';
import type { NewKey } from '../../protocol.js';
import { allowedMechanisms } from './mechanism.js';
import { type Attribute, ck } from './native.js';
import type { AttributeName } from './object-reader.js';
import type { VendorProfile } from './vendor-profile.js';

/** CKA_ID of every key of ours. */
export const idBytes = 16;

/** The private half, the public half, or a secret key. */
export const objectKinds = ['private', 'public', 'secret'] as const;
export type ObjectKind = (typeof objectKinds)[number];

export const objectClass: Readonly<Record<ObjectKind, number>> = {
  private: ck.CKO_PRIVATE_KEY,
  public: ck.CKO_PUBLIC_KEY,
  secret: ck.CKO_SECRET_KEY,
};

export const keyType: Readonly<Record<KeyFamily, number>> = {
  rsa: ck.CKK_RSA,
  ec: ck.CKK_EC,
  edwards: ck.CKK_EC_EDWARDS,
  aes: ck.CKK_AES,
  hmac: ck.CKK_GENERIC_SECRET,
};

const usageAttributes = {
  private: ['CKA_SIGN', 'CKA_SIGN_RECOVER', 'CKA_DECRYPT', 'CKA_UNWRAP', 'CKA_DERIVE'],
  public: ['CKA_VERIFY', 'CKA_VERIFY_RECOVER', 'CKA_ENCRYPT', 'CKA_WRAP', 'CKA_DERIVE'],
  secret: ['CKA_ENCRYPT', 'CKA_DECRYPT', 'CKA_SIGN', 'CKA_VERIFY', 'CKA_WRAP', 'CKA_UNWRAP', 'CKA_DERIVE'],
} as const satisfies Record<ObjectKind, readonly AttributeName[]>;
export type UsageAttribute = (typeof usageAttributes)[ObjectKind][number];

/** What each role grants, disjoint by construction: no attribute of one role appears in another of the same object kind. */
const granted: Readonly<Record<KeyUsage, Partial<Record<ObjectKind, readonly UsageAttribute[]>>>> = {
  sign: { private: ['CKA_SIGN'], public: ['CKA_VERIFY'] },
  unwrap: { private: ['CKA_UNWRAP'], public: ['CKA_WRAP'] },
  encrypt: { secret: ['CKA_ENCRYPT', 'CKA_DECRYPT'] },
  wrap: { secret: ['CKA_WRAP', 'CKA_UNWRAP'] },
  mac: { secret: ['CKA_SIGN', 'CKA_VERIFY'] },
};

const usagesOfFamily: Readonly<Record<KeyFamily, readonly KeyUsage[]>> = {
  rsa: ['sign', 'unwrap'],
  ec: ['sign'],
  edwards: ['sign'],
  aes: ['encrypt', 'wrap'],
  hmac: ['mac'],
};

export interface Role {
  readonly family: KeyFamily;
  readonly usage: KeyUsage;
  readonly extractable: boolean;
}

/** @throws {HsmError} ERR_HSM_ARGUMENT_INVALID when the algorithm cannot have the usage */
export function roleOf(key: NewKey): Role {
  const { family } = keyAlgorithms[key.algorithm];
  const usages = usagesOfFamily[family];
  if (!usages.includes(key.usage)) {
    throw new HsmError(
      'ERR_HSM_ARGUMENT_INVALID',
      `usage of ${key.algorithm}: want ${usages.join(' or ')}, got ${key.usage}`,
    );
  }
  return { family, usage: key.usage, extractable: key.extractable };
}

export interface Protection {
  readonly name: AttributeName;
  readonly value: boolean | Buffer;
}

/** Every attribute that limits what an object of a key may be used for. */
export function protections(profile: VendorProfile, kind: ObjectKind, role: Role): Protection[] {
  return limits(profile, kind, {
    isToken: !role.extractable,
    isExtractable: role.extractable,
    granted: granted[role.usage][kind] ?? [],
    mechanisms: allowedMechanisms(profile, role.family, role.usage),
  });
}

export interface Limits {
  readonly isToken: boolean;
  readonly isExtractable: boolean;
  readonly granted: readonly UsageAttribute[];
  readonly mechanisms: readonly number[];
}

/** These limits as attributes, none left out; MODIFIABLE goes last, since it locks the ones before it. */
function limits(
  profile: VendorProfile,
  kind: ObjectKind,
  { isToken, isExtractable, granted, mechanisms }: Limits,
): Protection[] {
  const list: Protection[] = [
    { name: 'CKA_TOKEN', value: isToken },
    // Public halves too: anybody without a PIN can make or replace public objects on a token.
    { name: 'CKA_PRIVATE', value: true },
  ];
  if (kind !== 'public') {
    list.push({ name: 'CKA_SENSITIVE', value: true }, { name: 'CKA_EXTRACTABLE', value: isExtractable });
  }
  for (const name of usageAttributes[kind]) list.push({ name, value: (granted as readonly string[]).includes(name) });
  list.push(
    { name: 'CKA_ALLOWED_MECHANISMS', value: encodeMechanisms(mechanisms) },
    { name: 'CKA_COPYABLE', value: false },
    { name: 'CKA_MODIFIABLE', value: false },
  );
  return list.filter(({ name }) => !profile.unsupportedAttributes.includes(name));
}

/** The names alone, to read them back in one go; they are the same for every role. */
export function protectionNames(profile: VendorProfile, kind: ObjectKind): AttributeName[] {
  return protections(profile, kind, { family: 'aes', usage: 'encrypt', extractable: false }).map(({ name }) => name);
}

/** The template of one object of a new key: what it is, then what protects it. */
export function template(profile: VendorProfile, kind: ObjectKind, key: NewKey, facts: Attribute[]): Attribute[] {
  const role = roleOf(key);
  return [
    { type: ck.CKA_CLASS, value: objectClass[kind] },
    { type: ck.CKA_KEY_TYPE, value: keyType[role.family] },
    { type: ck.CKA_ID, value: Buffer.from(key.id, 'hex') },
    { type: ck.CKA_LABEL, value: Buffer.from(key.label, 'utf8') },
    ...facts,
    ...attributes(protections(profile, kind, role)),
  ];
}

/** The template of a session object that exists for one step of an exchange: it has no id, since nobody looks for it. */
export function passingTemplate(
  profile: VendorProfile,
  kind: ObjectKind,
  family: KeyFamily,
  passing: Omit<Limits, 'isToken'>,
  facts: Attribute[],
): Attribute[] {
  return [
    { type: ck.CKA_CLASS, value: objectClass[kind] },
    { type: ck.CKA_KEY_TYPE, value: keyType[family] },
    { type: ck.CKA_LABEL, value: Buffer.from('one-use') },
    ...facts,
    ...attributes(limits(profile, kind, { ...passing, isToken: false })),
  ];
}

function attributes(list: readonly Protection[]): Attribute[] {
  return list.map(({ name, value }) => ({ type: ck[name], value }));
}

/** What a generation needs to be told besides: modulus length and exponent, curve, or key length. */
export function generationFacts(algorithm: KeyAlgorithm): Attribute[] {
  const facts = keyAlgorithms[algorithm];
  switch (facts.family) {
    case 'rsa':
      return [
        { type: ck.CKA_MODULUS_BITS, value: facts.modulusBits },
        { type: ck.CKA_PUBLIC_EXPONENT, value: Buffer.from([1, 0, 1]) },
      ];
    case 'ec':
    case 'edwards':
      return [{ type: ck.CKA_EC_PARAMS, value: objectIdentifier(facts.curveOid) }];
    case 'aes':
    case 'hmac':
      return [{ type: ck.CKA_VALUE_LEN, value: facts.keyBytes }];
  }
}

/** CK_ULONG is 8 bytes, little-endian, on every platform that Node and a PKCS#11 module share (LP64). */
function encodeMechanisms(mechanisms: readonly number[]): Buffer {
  const value = Buffer.alloc(8 * mechanisms.length);
  mechanisms.forEach((mechanism, index) => value.writeBigUInt64LE(BigInt(mechanism), 8 * index));
  return value;
}
