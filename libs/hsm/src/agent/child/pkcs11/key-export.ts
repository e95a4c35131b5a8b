import { createPublicKey, type KeyObject } from 'node:crypto';
import { keyAlgorithms } from '../../../algorithm/key-algorithm.js';
import type { TransportAlgorithm } from '../../../algorithm/wrapping-algorithm.js';
import { HsmError } from '../../../errors.js';
import { type Answer, type KeyTransfer, maximumRecipients, type Received, type Recipient } from '../../protocol.js';
import type { Call } from '../call.js';
import { makeCheckValue } from './check-value.js';
import { destroyObjects } from './key-destruction.js';
import type { TokenKey } from './key-inspection.js';
import { destroyQuietly } from './key-making.js';
import { wrappingMechanism } from './mechanism.js';
import type { SessionHandle } from './native.js';
import { importRecipient, makeTransportKey, whilePresent } from './passing-object.js';
import type { Token } from './token.js';
import { maximumWrappedBytes, requireMovable, requireOffered, requireWrappable } from './wrapping-rules.js';

/**
 * Lets an extractable key leave the token once: for each recipient under a one-use AES key, which goes under the recipient's
 * RSA key and is destroyed (SECURITY.md, Replication). The key itself is destroyed with it, whether or not that went well, so
 * that nothing extractable is left.
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID | ERR_HSM_MECHANISM_UNSUPPORTED, both before anything was done
 */
export async function exportKey(
  token: Token,
  call: Call,
  { keyId, recipients }: Received<'exportKey'>,
): Promise<Answer<'exportKey'>> {
  const holders = readRecipients(token, recipients);
  let isBegun = false;
  try {
    return await token.run(call, 'once', async (session) => {
      const key = token.keys.one(session, keyId);
      requireExportable(token, key);
      isBegun = true;
      const checkValue = await makeCheckValue(token, session, key);
      const transfers: KeyTransfer[] = [];
      for (const holder of holders) transfers.push(await transferTo(token, session, key, holder));
      destroyObjects(token, session, keyId);
      return { checkValue, transfers };
    });
  } catch (error) {
    if (isBegun) await destroyQuietly(token, keyId);
    throw error;
  }
}

interface Holder {
  readonly publicKey: KeyObject;
  readonly modulusBytes: number;
  readonly algorithm: TransportAlgorithm;
}

function readRecipients(token: Token, recipients: readonly Recipient[]): Holder[] {
  if (recipients.length === 0 || recipients.length > maximumRecipients) {
    const message = `recipients: want 1 to ${maximumRecipients}, got ${recipients.length}`;
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', message);
  }
  return recipients.map(({ spki, algorithm }) => {
    requireOffered(token, algorithm);
    return { ...readRsaKey(Buffer.from(spki)), algorithm };
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

function requireExportable(token: Token, key: TokenKey): void {
  if (!key.extractable) {
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `key "${key.label}": want a key made extractable`);
  }
  requireMovable(key);
  requireWrappable(token, 'aes-kwp', key.algorithm);
}

async function transferTo(token: Token, session: SessionHandle, key: TokenKey, holder: Holder): Promise<KeyTransfer> {
  const { native, profile } = token;
  const { publicKey, modulusBytes, algorithm } = holder;
  return whilePresent(native, session, await makeTransportKey(token, session), async (transportKey) => {
    const kwp = wrappingMechanism(profile, 'aes-kwp');
    const wrapped = await native.wrapKey(session, kwp, transportKey, key.handle, maximumWrappedBytes);
    const recipient = importRecipient(token, session, publicKey);
    const transport = await whilePresent(native, session, recipient, () =>
      native.wrapKey(session, wrappingMechanism(profile, algorithm), recipient, transportKey, modulusBytes),
    );
    return { transport, wrapped };
  });
}
