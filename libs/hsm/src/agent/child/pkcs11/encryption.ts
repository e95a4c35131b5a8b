/**
 * AES-256-GCM under a key that never leaves the token (NIST SP 800-38D §7). The envelope is u8 nonce length ‖ nonce ‖
 * ciphertext ‖ 16-byte tag. SoftHSM accepts a 32-bit tag and an empty nonce, so the lengths are checked here, before it.
 */
import { randomBytes } from 'node:crypto';
import { HsmError } from '../../../errors.js';
import type { KeyObjects } from './key-inspection.js';
import { gcmMechanism } from './mechanism.js';
import { ck, ReturnValueError, type SessionHandle } from './native.js';
import type { Token } from './token.js';
import { copyOf } from './token-calls.js';

const tagBytes = 16;
const nonceBytes = 12;

/** @throws {HsmError} ERR_HSM_ARGUMENT_INVALID when the data is longer than the token takes */
export async function encrypt(
  { native, profile }: Token,
  session: SessionHandle,
  { handle }: KeyObjects,
  data: Buffer,
  aad: Buffer,
): Promise<Buffer> {
  const { nonce: whoDraws, maximumBytes } = profile.gcm;
  if (data.length > maximumBytes) {
    throw new HsmError(
      'ERR_HSM_ARGUMENT_INVALID',
      `data to encrypt: want at most ${maximumBytes} bytes, got ${data.length}`,
    );
  }
  const isOurs = whoDraws === 'caller';
  // A fresh nonce for every try: a call that is made again may have been encrypted before.
  const nonce = isOurs ? randomBytes(nonceBytes) : Buffer.alloc(0);
  const outputBytes = (isOurs ? 0 : nonceBytes) + data.length + tagBytes;
  const output = await native.encrypt(session, gcmMechanism(profile, nonce, aad), handle, data, outputBytes, copyOf);
  if (output.length !== outputBytes) {
    throw new HsmError('ERR_HSM_TOKEN_ERROR', `C_Encrypt: want ${outputBytes} bytes, got ${output.length}`);
  }
  return Buffer.concat([Buffer.from([nonceBytes]), nonce, output]);
}

/** @throws {HsmError} ERR_HSM_DECRYPTION_FAILED, without saying why */
export async function decrypt(
  token: Token,
  session: SessionHandle,
  { handle }: KeyObjects,
  envelope: Buffer,
  aad: Buffer,
): Promise<Buffer> {
  const { native, profile } = token;
  const ciphertextStart = 1 + nonceBytes;
  const dataBytes = envelope.length - ciphertextStart - tagBytes;
  if (envelope[0] !== nonceBytes || dataBytes < 0 || dataBytes > profile.gcm.maximumBytes) throw decryptionFailed();
  const isOurs = profile.gcm.nonce === 'caller';
  const nonce = isOurs ? envelope.subarray(1, ciphertextStart) : Buffer.alloc(0);
  const input = isOurs ? envelope.subarray(ciphertextStart) : envelope.subarray(1);
  try {
    // SoftHSM asks for room for the tag as well.
    const mechanism = gcmMechanism(profile, nonce, aad);
    const data = await native.decrypt(session, mechanism, handle, input, input.length, copyOf);
    if (data.length === dataBytes) return data;
  } catch (error) {
    throw isBadCiphertext(token, error) ? decryptionFailed(error) : error;
  }
  throw decryptionFailed();
}

function isBadCiphertext(token: Token, error: unknown): boolean {
  if (!(error instanceof ReturnValueError) || error.pkcs11Function !== 'C_Decrypt') return false;
  const standard: readonly number[] = [ck.CKR_ENCRYPTED_DATA_INVALID, ck.CKR_ENCRYPTED_DATA_LEN_RANGE];
  return standard.includes(error.returnValue) || token.profile.decryptionFailed.has(error.returnValue);
}

function decryptionFailed(cause?: unknown): HsmError {
  return new HsmError('ERR_HSM_DECRYPTION_FAILED', 'decryption failed', { cause });
}
