/** Session objects that exist for one step of an exchange of keys. */
import type { KeyObject } from 'node:crypto';
import type { TransportAlgorithm } from '../../../algorithm/wrapping-algorithm.js';
import { wrappingMechanism } from './mechanism.js';
import { type Attribute, ck, type Native, type ObjectHandle, type SessionHandle } from './native.js';
import { generationFacts, passingTemplate } from './template.js';
import type { Token } from './token.js';

/**
 * Makes an object, works with it, and destroys it whatever happens. Where the token refuses even that, its error closes the
 * session, and the object is gone with it.
 */
export async function whilePresent<T>(
  native: Native,
  session: SessionHandle,
  object: ObjectHandle,
  work: (object: ObjectHandle) => Promise<T>,
): Promise<T> {
  try {
    return await work(object);
  } finally {
    native.destroyObject(session, object);
  }
}

/** Makes an AES-256 key that wraps one key, and may itself leave the token wrapped. */
export function makeTransportKey({ native, profile }: Token, session: SessionHandle): Promise<ObjectHandle> {
  const { mechanism: kwp } = wrappingMechanism(profile, 'aes-kwp');
  const limits = { isExtractable: true, granted: ['CKA_WRAP'], mechanisms: [kwp] } as const;
  const template = passingTemplate(profile, 'secret', 'aes', limits, generationFacts('aes-256'));
  return native.generateKey(session, { mechanism: ck.CKM_AES_KEY_GEN }, template);
}

/** Takes in an AES-256 key that unwraps one key. */
export function unwrapTransportKey(
  { native, profile }: Token,
  session: SessionHandle,
  unwrappingKey: ObjectHandle,
  algorithm: TransportAlgorithm,
  transport: Buffer,
): Promise<ObjectHandle> {
  const { mechanism: kwp } = wrappingMechanism(profile, 'aes-kwp');
  const limits = { isExtractable: false, granted: ['CKA_UNWRAP'], mechanisms: [kwp] } as const;
  const template = passingTemplate(profile, 'secret', 'aes', limits, []);
  return native.unwrapKey(session, wrappingMechanism(profile, algorithm), unwrappingKey, transport, template);
}

/** Puts an RSA public key on the token, to wrap a transport key under it. */
export function importRecipient(
  { native, profile }: Token,
  session: SessionHandle,
  publicKey: KeyObject,
): ObjectHandle {
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' });
  const limits = { isExtractable: false, granted: ['CKA_WRAP'], mechanisms: [ck.CKM_RSA_PKCS_OAEP] } as const;
  const facts: Attribute[] = [
    { type: ck.CKA_MODULUS, value: Buffer.from(n, 'base64url') },
    { type: ck.CKA_PUBLIC_EXPONENT, value: Buffer.from(e, 'base64url') },
  ];
  return native.createObject(session, passingTemplate(profile, 'public', 'rsa', limits, facts));
}
