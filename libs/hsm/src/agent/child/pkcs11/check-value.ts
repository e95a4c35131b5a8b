/** Makes and verifies what a secret key is told by (key/check-value.ts), on the token that holds it. */
import { timingSafeEqual } from 'node:crypto';
import { HsmError } from '../../../errors.js';
import { checkValuePlaintext, checkValueStatement } from '../../../key/check-value.js';
import { decrypt, encrypt } from './encryption.js';
import type { TokenKey } from './key-inspection.js';
import type { SessionHandle } from './native.js';
import { mac } from './signing.js';
import type { Token } from './token.js';

/** @returns the MAC of a fixed text, or the envelope of fixed bytes; nothing for a key that has a public half */
export async function makeCheckValue(token: Token, session: SessionHandle, key: TokenKey): Promise<Buffer | undefined> {
  if (key.usage === 'mac') return mac(token, session, key, checkValueStatement);
  if (key.usage === 'encrypt') return encrypt(token, session, key, checkValuePlaintext, checkValueStatement);
  return undefined;
}

/** Whether this key made it; false for a key that makes none. */
export async function isCheckValueOf(
  token: Token,
  session: SessionHandle,
  key: TokenKey,
  checkValue: Buffer,
): Promise<boolean> {
  const matches = (got: Buffer | undefined, want: Buffer): boolean =>
    got?.length === want.length && timingSafeEqual(got, want);
  switch (key.usage) {
    case 'mac':
      return matches(await mac(token, session, key, checkValueStatement), checkValue);
    case 'encrypt':
      return matches(await opened(token, session, key, checkValue), checkValuePlaintext);
    case 'sign':
    case 'wrap':
    case 'unwrap':
      return false;
  }
}

/** @throws {HsmError} ERR_HSM_KEY_UNSAFE when another key made it */
export async function verifyCheckValue(
  token: Token,
  session: SessionHandle,
  key: TokenKey,
  checkValue: Buffer,
): Promise<void> {
  if (await isCheckValueOf(token, session, key, checkValue)) return;
  throw new HsmError('ERR_HSM_KEY_UNSAFE', `key "${key.label}": want the key that made the check value, got another`);
}

async function opened(
  token: Token,
  session: SessionHandle,
  key: TokenKey,
  envelope: Buffer,
): Promise<Buffer | undefined> {
  try {
    return await decrypt(token, session, key, envelope, checkValueStatement);
  } catch (error) {
    if (error instanceof HsmError && error.code === 'ERR_HSM_DECRYPTION_FAILED') return undefined;
    throw error;
  }
}
