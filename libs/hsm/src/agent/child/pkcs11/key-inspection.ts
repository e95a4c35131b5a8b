/** Reads a key off the token and holds it against the table it should have been made from. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { ecPointToSpki, rsaNumbersToSpki } from '../../../algorithm/encoding-public-key.js';
import {
  keyAlgorithms,
  keyAlgorithmNames,
  type AsymmetricKeyAlgorithm,
  type KeyAlgorithm,
  type KeyFamily,
} from '../../../algorithm/key-algorithm.js';
import { objectIdentifier } from '../../../algorithm/encoding-object-identifier.js';
import { HsmError } from '../../../errors.js';
import type { KeyDescription, KeyId, KeyUsage } from '../../../key/key.js';
import { ck, type Native, type ObjectHandle, ReturnValueError, type SessionHandle } from './native.js';
import { keyType, type ObjectKind, objectClass, protections, type Role } from './template.js';
import type { VendorProfile } from './vendor-profile.js';

/** A key that was found and found safe. Handles are good for one login (`Login.generation`) only. */
export interface TokenKey extends KeyDescription {
  /** The private half or the secret key. */
  readonly handle: ObjectHandle;
  readonly publicHandle?: ObjectHandle;
  readonly publicKey?: KeyObject;
}

/** One key's identity, before anything is asked of it. */
export interface KeyIdentity {
  readonly id: KeyId;
  readonly label: string;
}

/** @returns undefined when the object is not one of ours: its CKA_ID is not 16 bytes */
export function readIdentity(native: Native, session: SessionHandle, handle: ObjectHandle): KeyIdentity | undefined {
  const [id, label] = native.attributes(session, handle, [ck.CKA_ID, ck.CKA_LABEL]);
  return id.length === 16 ? { id: id.toString('hex') as KeyId, label: label.toString('utf8') } : undefined;
}

/**
 * Reads everything that matters about a key and checks it.
 * @throws {HsmError} ERR_HSM_KEY_UNSAFE naming every attribute that is not as its role wants it
 */
export function inspectKey(
  native: Native,
  session: SessionHandle,
  profile: VendorProfile,
  identity: KeyIdentity,
  handle: ObjectHandle,
  publicHandle: ObjectHandle | undefined,
): TokenKey {
  const reader = new ObjectReader(native, session, handle);
  const isSecret = reader.number('CKA_CLASS') === objectClass.secret;
  const kind: ObjectKind = isSecret ? 'secret' : 'private';
  const publicReader = publicHandle && new ObjectReader(native, session, publicHandle);
  const algorithm = readAlgorithm(reader, publicReader);
  if (!algorithm) throw unsafe(identity, ['want one of the known algorithms and key lengths']);
  const role = readRole(reader, keyAlgorithms[algorithm].family);

  const faults = mismatches(reader, profile, kind, role);
  if (publicReader) faults.push(...mismatches(publicReader, profile, 'public', role).map((fault) => `public ${fault}`));
  if (!isSecret && !publicReader) faults.push('want a public half, got none');
  if (faults.length > 0) throw unsafe(identity, faults);

  const description = { ...identity, algorithm, usage: role.usage, extractable: role.extractable, handle };
  if (isSecret || !publicReader) return description;
  const spki = readSpki(algorithm as AsymmetricKeyAlgorithm, publicReader);
  if (
    keyAlgorithms[algorithm].family === 'rsa' &&
    !reader.read('CKA_MODULUS')?.equals(publicReader.bytes('CKA_MODULUS'))
  ) {
    throw unsafe(identity, ['want one modulus in both halves, got two']);
  }
  return { ...description, publicHandle, spki, publicKey: createPublicKey({ key: spki, format: 'der', type: 'spki' }) };
}

/** Only what is public about a key, for answers. */
export function describeKey({ id, label, algorithm, usage, spki, extractable }: TokenKey): KeyDescription {
  return { id, label, algorithm, usage, spki, extractable };
}

function mismatches(reader: ObjectReader, profile: VendorProfile, kind: ObjectKind, role: Role): string[] {
  return protections(profile, kind, role).flatMap(({ name, value }) => {
    if (typeof value === 'boolean') {
      // A token that does not know a usage does not grant it.
      const got = reader.boolean(name);
      return got === value ? [] : [`${name}: want ${value}, got ${got}`];
    }
    return reader.read(name)?.equals(value) ? [] : [`${name}: want ${value.toString('hex')}`];
  });
}

function readAlgorithm(reader: ObjectReader, publicReader: ObjectReader | undefined): KeyAlgorithm | undefined {
  const type = reader.number('CKA_KEY_TYPE');
  return keyAlgorithmNames.find((name) => {
    const facts = keyAlgorithms[name];
    if (type !== keyType[facts.family] && !(facts.family === 'hmac' && type === ck.CKK_SHA256_HMAC)) return false;
    switch (facts.family) {
      case 'rsa':
        return (reader.read('CKA_MODULUS')?.length ?? 0) * 8 === facts.modulusBits;
      case 'ec':
      case 'edwards':
        return (reader.read('CKA_EC_PARAMS') ?? publicReader?.read('CKA_EC_PARAMS'))?.equals(
          objectIdentifier(facts.curveOid),
        );
      case 'aes':
      case 'hmac':
        return reader.number('CKA_VALUE_LEN') === facts.keyBytes;
    }
  });
}

/** The role that the key's attributes come nearest to; the comparison with its table then names what is wrong. */
function readRole(reader: ObjectReader, family: KeyFamily): Role {
  const extractable = reader.boolean('CKA_EXTRACTABLE') && !reader.boolean('CKA_TOKEN');
  return { family, usage: readUsage(reader, family), extractable };
}

function readUsage(reader: ObjectReader, family: KeyFamily): KeyUsage {
  switch (family) {
    case 'rsa':
      return reader.boolean('CKA_UNWRAP') && !reader.boolean('CKA_SIGN') ? 'unwrap' : 'sign';
    case 'ec':
    case 'edwards':
      return 'sign';
    case 'aes':
      return reader.boolean('CKA_WRAP') && !reader.boolean('CKA_ENCRYPT') ? 'wrap' : 'encrypt';
    case 'hmac':
      return 'mac';
  }
}

function readSpki(algorithm: AsymmetricKeyAlgorithm, reader: ObjectReader): Buffer {
  return keyAlgorithms[algorithm].family === 'rsa'
    ? rsaNumbersToSpki(reader.bytes('CKA_MODULUS'), reader.bytes('CKA_PUBLIC_EXPONENT'))
    : ecPointToSpki(algorithm, reader.bytes('CKA_EC_POINT'));
}

function unsafe({ id, label }: KeyIdentity, faults: readonly string[]): HsmError {
  return new HsmError('ERR_HSM_KEY_UNSAFE', `key "${label}" (${id}) is refused: ${faults.join('; ')}`);
}

/** Attributes of one object by name; what the object does not have, or will not show, is undefined. */
class ObjectReader {
  constructor(
    private readonly native: Native,
    private readonly session: SessionHandle,
    private readonly handle: ObjectHandle,
  ) {}

  read(name: keyof typeof ck): Buffer | undefined {
    try {
      return this.native.attributes(this.session, this.handle, [ck[name] as number])[0];
    } catch (error) {
      const isAbsent =
        error instanceof ReturnValueError &&
        (error.returnValue === ck.CKR_ATTRIBUTE_TYPE_INVALID || error.returnValue === ck.CKR_ATTRIBUTE_SENSITIVE);
      if (isAbsent) return undefined;
      throw error;
    }
  }

  bytes(name: keyof typeof ck): Buffer {
    const value = this.read(name);
    if (!value) throw new HsmError('ERR_HSM_KEY_UNSAFE', `${name}: want a value, got none`);
    return value;
  }

  boolean(name: keyof typeof ck): boolean {
    return this.read(name)?.[0] === 1;
  }

  number(name: keyof typeof ck): number | undefined {
    const value = this.read(name);
    return value?.length === 8 ? Number(value.readBigUInt64LE()) : undefined;
  }
}
