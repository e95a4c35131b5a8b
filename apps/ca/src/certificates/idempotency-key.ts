import { ApiError } from '../problem/api-error.js';

/**
 * The value of Idempotency-Key (draft-ietf-httpapi-idempotency-key-header §2.1): 1 to 255 visible ASCII characters, in quotes or not.
 * @throws {ApiError} ERR_API_REQUEST_INVALID
 */
export function idempotencyKey(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header;
  if (/^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw new ApiError('ERR_API_REQUEST_INVALID', 'Idempotency-Key: want 1 to 255 visible ASCII characters');
}
