import { createHash } from 'node:crypto';
import { CaError } from '../errors.js';
import type { CertificateRecord } from '../store/certificate-store.js';

/** What ties a request to its one certificate, whatever is sent again: kept in the certificate's row, reserved with its serial. */
export interface Idempotency {
  /** SHA-256 of requester and key, in hexadecimal. */
  readonly idempotencyKey: string;
  /** SHA-256 of what is asked for, in hexadecimal. */
  readonly requestSha256: string;
}

/** How long a key stands for its first request. */
export const idempotencyMilliseconds = 24 * 3_600_000;

/** @param key  as the caller chose it; each requester has keys of their own */
export function idempotencyOf(requester: string, key: string, request: readonly (string | Uint8Array)[]): Idempotency {
  return { idempotencyKey: digest([requester, key]), requestSha256: digest(request) };
}

/** @throws {CaError} ERR_CA_IDEMPOTENCY_KEY_REUSED when the key stands for another request */
export function assertSameRequest(row: Pick<CertificateRecord, 'requestSha256'>, { requestSha256 }: Idempotency): void {
  if (row.requestSha256 !== requestSha256)
    throw new CaError(
      'ERR_CA_IDEMPOTENCY_KEY_REUSED',
      'idempotency key: want the request it was first used with, got another',
    );
}

export function idempotencyInProgress(): CaError {
  return new CaError(
    'ERR_CA_IDEMPOTENCY_IN_PROGRESS',
    'idempotency key: want one whose request is finished, got one still in progress',
  );
}

/** Each part with its length before it, so that no two lists have the same octets. */
function digest(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    const octets = Buffer.from(part);
    hash.update(`${octets.length}:`).update(octets);
  }
  return hash.digest('hex');
}
