import { createPublicKey, randomBytes, verify } from 'node:crypto';
import { keyAlgorithms } from '../algorithm/key-algorithm.js';
import { defaultSchemes } from '../algorithm/signature-scheme.js';
import { HsmError } from '../errors.js';
import { checkValuePlaintext, checkValueStatement } from '../key/check-value.js';
import type { KeyringRecord } from './keyring-record.js';
import type { ReplicationMember } from './replication-member.js';

/**
 * Has a member use a key, and holds the result against what the keyring knows of it: a signature over bytes nobody chose, or
 * the check value.
 * @throws {HsmError} ERR_HSM_KEY_UNSAFE when it is another key, or whatever keeps the member from using it
 */
export async function requirePossession(member: ReplicationMember, key: KeyringRecord): Promise<void> {
  const [found] = await member.call('findKeys', { id: key.id }, {});
  const isAsRecorded = found?.algorithm === key.algorithm && found.usage === key.usage && !found.extractable;
  if (isAsRecorded && (await works(member, key))) return;
  const message = `key "${key.label}" (${key.id}): want ${member.name} to hold it, got ${found ? 'another' : 'none'}`;
  throw new HsmError('ERR_HSM_KEY_UNSAFE', message, { member: member.name });
}

async function works(member: ReplicationMember, key: KeyringRecord): Promise<boolean> {
  const keyId = key.id;
  const checkValue = Buffer.from(key.checkValue ?? '', 'base64');
  switch (key.usage) {
    case 'sign':
      return signs(member, key);
    case 'mac':
      return (await member.call('mac', { keyId, data: checkValueStatement }, {})).mac.equals(checkValue);
    case 'encrypt': {
      const { data } = await member.call('decrypt', { keyId, aad: checkValueStatement, envelope: checkValue }, {});
      return data.equals(checkValuePlaintext);
    }
    case 'wrap':
    case 'unwrap':
      // Keys that move keys are not replicated.
      return false;
  }
}

async function signs(member: ReplicationMember, { id, algorithm, spki = '' }: KeyringRecord): Promise<boolean> {
  const { family } = keyAlgorithms[algorithm];
  if (family === 'aes' || family === 'hmac') return false;
  const data = randomBytes(32);
  const terms = { scheme: defaultSchemes[family], input: 'message', format: 'der', verify: false } as const;
  const { signature } = await member.call('sign', { ...terms, keyId: id, data }, {});
  const publicKey = createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' });
  return verify(family === 'edwards' ? null : 'sha256', data, publicKey, signature);
}
