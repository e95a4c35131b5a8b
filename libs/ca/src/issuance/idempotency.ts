import { createHash } from 'node:crypto';
import { CaError } from '../errors.js';
import type { CertificateRecord, CertificateStore } from '../store/certificate-store.js';

/** What ties a request to its one certificate, whatever is sent again: kept in the certificate's row, reserved with its serial. */
export interface Idempotency {
  /** SHA-256 of requester and key, in hexadecimal. */
  readonly idempotencyKey: string;
  /** SHA-256 of what is asked for, in hexadecimal. */
  readonly requestSha256: string;
}

/** Whether the key was chosen by a caller, and so stands for its request for a time only; what was approved is issued once for ever. */
export type KeyKind = 'key' | 'order';

/** How long a key stands for its first request. */
export const idempotencyMilliseconds = 24 * 3_600_000;

/**
 * @param key  what the requester chose (`['key', …]`), or whatever else happens once; each requester has keys of their own
 * @param request  everything that decides what is issued
 */
export function idempotencyOf(
  requester: string,
  key: readonly [KeyKind, string],
  request: readonly (string | Uint8Array)[],
): Idempotency {
  return { idempotencyKey: digest([requester, ...key]), requestSha256: digest(request) };
}

/**
 * The certificate that the same request has led to before.
 * @returns undefined when it has led to none, or is too long ago
 * @throws {CaError} ERR_CA_IDEMPOTENCY_KEY_REUSED | ERR_CA_IDEMPOTENCY_IN_PROGRESS | ERR_CA_STORE_UNAVAILABLE
 */
export async function issuedBefore(
  certificates: Pick<CertificateStore, 'findByIdempotencyKey' | 'forgetIdempotencyKey'>,
  idempotency: Idempotency,
  kind: KeyKind,
  now: Date,
): Promise<(CertificateRecord & { readonly certificate: Buffer }) | undefined> {
  const row = await certificates.findByIdempotencyKey(idempotency.idempotencyKey);
  if (row === undefined) return undefined;
  const { certificate } = row;
  const mayEnd = kind === 'key' && certificate !== undefined;
  if (mayEnd && row.reservedAt.getTime() + idempotencyMilliseconds <= now.getTime()) {
    await certificates.forgetIdempotencyKey(row.serial);
    return undefined;
  }
  assertSameRequest(row, idempotency);
  if (certificate === undefined) throw idempotencyInProgress();
  return { ...row, certificate };
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
