/** Reads a key off the token and holds it against the table it should have been made from. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { objectIdentifier } from '../../../algorithm/encoding-object-identifier.js';
import { ecPointToSpki, rsaNumbersToSpki } from '../../../algorithm/encoding-public-key.js';
import {
  type AsymmetricKeyAlgorithm,
  keyAlgorithms,
  keyAlgorithmNames,
  type KeyAlgorithm,
  type KeyFamily,
} from '../../../algorithm/key-algorithm.js';
import { HsmError } from '../../../errors.js';
import type { KeyDescription, KeyId, KeyUsage } from '../../../key/key.js';
import type { ObjectReport } from '../../protocol.js';
import { ck, type Native, type ObjectHandle, type SessionHandle } from './native.js';
import { ObjectReader } from './object-reader.js';
import { keyType, objectClass, type ObjectKind, protectionNames, protections, type Role } from './template.js';
import type { VendorProfile } from './vendor-profile.js';

/** No label of ours is longer (64 characters of UTF-8). */
const maximumLabelBytes = 256;
const maximumDigestBytes = 8;
const unknownAlgorithm = 'want one of the known algorithms and key lengths';

/** A key that was found and found safe. Handles are good for one login (`Login.generation`) only. */
export interface TokenKey extends KeyDescription {
  /** The private half or the secret key. */
  readonly handle: ObjectHandle;
  readonly publicHandle?: ObjectHandle;
  readonly publicKey?: KeyObject;
}

/** Asked before it is told what is wrong with a key; throws to tell nothing of what has that label. */
export type Permit = (label: string) => void;

/** The objects of one key. */
export interface KeyObjects {
  readonly handle: ObjectHandle;
  readonly publicHandle?: ObjectHandle;
}

/**
 * Reads everything that matters about a key and checks it.
 * @throws {HsmError} ERR_HSM_KEY_UNSAFE naming every attribute that is not as its role wants it
 */
export function inspectKey(
  native: Native,
  session: SessionHandle,
  profile: VendorProfile,
  id: KeyId,
  { handle, publicHandle }: KeyObjects,
  permit?: Permit,
): TokenKey {
  const reader = new ObjectReader(native, session, handle);
  const kind = reader.number('CKA_CLASS') === objectClass.secret ? 'secret' : 'private';
  reader.prefetch(['CKA_LABEL', 'CKA_KEY_TYPE', ...protectionNames(profile, kind)]);
  const publicReader = publicHandle && new ObjectReader(native, session, publicHandle);
  publicReader?.prefetch(protectionNames(profile, 'public'));

  const identity = { id, label: reader.text('CKA_LABEL').slice(0, maximumLabelBytes) };
  const algorithm = readAlgorithm(profile, reader, publicReader);
  if (!algorithm) throw unsafe(identity, [unknownAlgorithm], permit);
  const role = readRole(reader, keyAlgorithms[algorithm].family);

  const faults = mismatches(reader, profile, kind, role);
  if (publicReader) faults.push(...mismatches(publicReader, profile, 'public', role).map((fault) => `public ${fault}`));
  if (kind === 'private' && !publicReader) faults.push('want a public half, got none');
  if (!isOneKey(reader, publicReader)) faults.push('want one modulus in both halves, got two');
  if (faults.length > 0) throw unsafe(identity, faults, permit);

  const key = { ...identity, algorithm, usage: role.usage, extractable: role.extractable, handle };
  if (!publicReader) return key;
  const spki = readSpki(algorithm as AsymmetricKeyAlgorithm, publicReader);
  return { ...key, publicHandle, spki, publicKey: createPublicKey({ key: spki, format: 'der', type: 'spki' }) };
}

/**
 * What one object says of itself, and how that differs from what its role wants: for audits, which look at what others made
 * too. Attributes that show a key's value are not read.
 */
export function inspectObject(
  native: Native,
  session: SessionHandle,
  profile: VendorProfile,
  kind: ObjectKind,
  handle: ObjectHandle,
): Omit<ObjectReport, 'id'> {
  const reader = new ObjectReader(native, session, handle);
  reader.prefetch(['CKA_LABEL', 'CKA_KEY_TYPE', ...protectionNames(profile, kind)]);
  const label = reader.text('CKA_LABEL').slice(0, maximumLabelBytes);
  const isToken = reader.boolean('CKA_TOKEN');
  const algorithm = readAlgorithm(profile, reader, undefined);
  if (!algorithm) return { kind, label, isToken, faults: [unknownAlgorithm] };
  const role = readRole(reader, keyAlgorithms[algorithm].family, kind);
  return {
    ...{ kind, label, isToken, algorithm, usage: role.usage },
    spki: kind === 'public' ? readSpki(algorithm as AsymmetricKeyAlgorithm, reader) : undefined,
    digest: reader.read('CKA_CHECK_VALUE')?.toString('hex', 0, maximumDigestBytes),
    faults: mismatches(reader, profile, kind, role),
  };
}

/** Only what is public about a key, for answers. */
export function describeKey({ id, label, algorithm, usage, spki, extractable }: TokenKey): KeyDescription {
  return { id, label, algorithm, usage, spki, extractable };
}

function mismatches(reader: ObjectReader, profile: VendorProfile, kind: ObjectKind, role: Role): string[] {
  return protections(profile, kind, role).flatMap(({ name, value }) => {
    if (typeof value === 'boolean') {
      const got = reader.boolean(name);
      return got === value ? [] : [`${name}: want ${value}, got ${got}`];
    }
    return reader.read(name)?.equals(value) ? [] : [`${name}: want ${value.toString('hex')}`];
  });
}

function readAlgorithm(
  profile: VendorProfile,
  reader: ObjectReader,
  publicReader: ObjectReader | undefined,
): KeyAlgorithm | undefined {
  const type = reader.number('CKA_KEY_TYPE');
  return keyAlgorithmNames.find((name) => {
    const facts = keyAlgorithms[name];
    if (type !== keyType[facts.family] && !(facts.family === 'hmac' && type === ck.CKK_SHA256_HMAC)) return false;
    switch (facts.family) {
      case 'rsa':
        return (reader.read('CKA_MODULUS')?.length ?? 0) * 8 === facts.modulusBits;
      case 'ec':
      case 'edwards':
        return [reader, publicReader].every((half) => !half || namesCurve(half.read('CKA_EC_PARAMS'), facts));
      case 'aes':
      case 'hmac':
        return reader.number('CKA_VALUE_LEN') === facts.keyBytes || isUnwrappedOfHiddenLength(profile, reader);
    }
  });
}

/** CKA_EC_PARAMS is the curve's OID or, for Edwards curves, its name as a PrintableString (PKCS #11 v3.0 §2.3.5). */
function namesCurve(parameters: Buffer | undefined, { curveOid }: { curveOid: string }): boolean {
  if (!parameters) return false;
  const isNamedEd25519 = curveOid === keyAlgorithms.ed25519.curveOid && parameters.equals(edwards25519);
  return isNamedEd25519 || parameters.equals(objectIdentifier(curveOid));
}

const edwards25519 = Buffer.from('\x13\x0cedwards25519', 'latin1');

/** SoftHSM reports a length of 0 for every secret key that was unwrapped; what was wrapped decides it (key-wrapping.ts). */
function isUnwrappedOfHiddenLength(profile: VendorProfile, reader: ObjectReader): boolean {
  return profile.hidesUnwrappedLength && reader.number('CKA_VALUE_LEN') === 0 && !reader.boolean('CKA_LOCAL');
}

/** The role that the key's attributes come nearest to; the comparison with its table then names what is wrong. */
function readRole(reader: ObjectReader, family: KeyFamily, kind?: ObjectKind): Role {
  const extractable = reader.boolean('CKA_EXTRACTABLE') && !reader.boolean('CKA_TOKEN');
  return { family, usage: readUsage(reader, family, kind), extractable };
}

function readUsage(reader: ObjectReader, family: KeyFamily, kind?: ObjectKind): KeyUsage {
  switch (family) {
    case 'rsa':
      if (kind === 'public') return reader.boolean('CKA_WRAP') && !reader.boolean('CKA_VERIFY') ? 'unwrap' : 'sign';
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

/** Both halves of an RSA key hold the modulus; an EC private key does not know its point. */
function isOneKey(reader: ObjectReader, publicReader: ObjectReader | undefined): boolean {
  const modulus = publicReader && reader.read('CKA_MODULUS');
  return !modulus || (publicReader.read('CKA_MODULUS')?.equals(modulus) ?? false);
}

function readSpki(algorithm: AsymmetricKeyAlgorithm, reader: ObjectReader): Buffer {
  return keyAlgorithms[algorithm].family === 'rsa'
    ? rsaNumbersToSpki(reader.bytes('CKA_MODULUS'), reader.bytes('CKA_PUBLIC_EXPONENT'))
    : ecPointToSpki(algorithm, reader.bytes('CKA_EC_POINT'));
}

function unsafe(
  { id, label }: { id: KeyId; label: string },
  faults: readonly string[],
  permit: Permit | undefined,
): HsmError {
  permit?.(label);
  return new HsmError('ERR_HSM_KEY_UNSAFE', `key "${label}" (${id}) is refused: ${faults.join('; ')}`);
}
