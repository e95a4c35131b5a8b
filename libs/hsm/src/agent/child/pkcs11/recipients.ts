/** Whom a key goes to from here: whoever has the private half of an RSA key. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { keyAlgorithms } from '../../../algorithm/key-algorithm.js';
import type { TransportAlgorithm } from '../../../algorithm/wrapping-algorithm.js';
import { HsmError } from '../../../errors.js';
import { type KeyTransfer, maximumRecipients, type Recipient } from '../../protocol.js';
import { wrappingMechanism } from './mechanism.js';
import type { ObjectHandle, SessionHandle } from './native.js';
import { importRecipient, makeTransportKey, whilePresent } from './passing-object.js';
import type { Token } from './token.js';
import { maximumWrappedBytes, requireOffered } from './wrapping-rules.js';

export interface Holder {
  readonly publicKey: KeyObject;
  readonly modulusBytes: number;
  readonly algorithm: TransportAlgorithm;
}

/** @throws {HsmError} ERR_HSM_ARGUMENT_INVALID | ERR_HSM_MECHANISM_UNSUPPORTED */
export function readRecipients(token: Token, recipients: readonly Recipient[]): Holder[] {
  if (recipients.length === 0 || recipients.length > maximumRecipients) {
    const message = `recipients: want 1 to ${maximumRecipients}, got ${recipients.length}`;
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', message);
  }
  return recipients.map(({ spki, algorithm }) => {
    requireOffered(token, algorithm);
    return { ...readRsaKey(Buffer.from(spki)), algorithm };
  });
}

/** Wraps an extractable key for each of them, under a one-use AES key that goes under the RSA key and is destroyed. */
export async function transferTo(
  token: Token,
  session: SessionHandle,
  key: ObjectHandle,
  holders: readonly Holder[],
): Promise<KeyTransfer[]> {
  const transfers: KeyTransfer[] = [];
  for (const holder of holders) transfers.push(await transferToOne(token, session, key, holder));
  return transfers;
}

async function transferToOne(
  token: Token,
  session: SessionHandle,
  key: ObjectHandle,
  { publicKey, modulusBytes, algorithm }: Holder,
): Promise<KeyTransfer> {
  const { native, profile } = token;
  return whilePresent(native, session, await makeTransportKey(token, session), async (transportKey) => {
    const kwp = wrappingMechanism(profile, 'aes-kwp');
    const wrapped = await native.wrapKey(session, kwp, transportKey, key, maximumWrappedBytes);
    const recipient = importRecipient(token, session, publicKey);
    const transport = await whilePresent(native, session, recipient, () =>
      native.wrapKey(session, wrappingMechanism(profile, algorithm), recipient, transportKey, modulusBytes),
    );
    return { transport, wrapped };
  });
}

/** Of a size in our tables, with an exponent that FIPS 186-5 §A.1.1 allows, in the one DER form that fingerprints are taken of. */
function readRsaKey(spki: Buffer): { publicKey: KeyObject; modulusBytes: number } {
  let publicKey: KeyObject;
  try {
    publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch (cause) {
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', 'recipient: want a SubjectPublicKeyInfo', { cause });
  }
  const { modulusLength = 0, publicExponent = 0n } = publicKey.asymmetricKeyDetails ?? {};
  const isOfKnownSize = Object.values(keyAlgorithms).some(
    (facts) => facts.family === 'rsa' && facts.modulusBits === modulusLength,
  );
  const isSound = publicExponent > 0xffffn && publicExponent < 1n << 32n && publicExponent % 2n === 1n;
  const isCanonical =
    publicKey.asymmetricKeyType === 'rsa' && publicKey.export({ format: 'der', type: 'spki' }).equals(spki);
  if (isOfKnownSize && isSound && isCanonical) return { publicKey, modulusBytes: modulusLength / 8 };
  throw new HsmError(
    'ERR_HSM_ARGUMENT_INVALID',
    `recipient: want an RSA key of 2048, 3072 or 4096 bits and an odd exponent from 65537 to 2^32, got ${publicKey.asymmetricKeyType} of ${modulusLength} bits and exponent ${publicExponent}`,
  );
}
