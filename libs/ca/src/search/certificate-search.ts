import type { CertificateSearchStore, FoundCertificate } from '../store/certificate-search-store.js';
import {
  type CertificateQuery,
  type IssuedStatus,
  type ParsedQuery,
  parseQuery,
  type Position,
  writeCursor,
} from './certificate-query.js';
import { searchNamesOf } from './search-names.js';

/** What a search says of a certificate. */
export interface CertificateSummary extends Omit<FoundCertificate, 'certificate' | 'reservedAt'> {
  readonly status: IssuedStatus;
  /** `cn:` its commonName in lower case, `dns:`, `ip:`, `email:`, `uri:` its names. */
  readonly names: readonly string[];
}

export interface CertificatePage {
  /** As many as the limit, or fewer, even none, where what is asked for is rare among many: the next page goes on behind them. */
  readonly certificates: readonly CertificateSummary[];
  /** The cursor of the next page; absent on the last one. */
  readonly next?: string;
}

/**
 * One page of issued certificates.
 * @throws {CaError} ERR_CA_QUERY_INVALID | ERR_CA_STORE_UNAVAILABLE
 */
export async function searchCertificates(
  store: CertificateSearchStore,
  query: CertificateQuery,
  issuerIds: readonly string[],
  now: Date,
): Promise<CertificatePage> {
  const parsed = parseQuery(query);
  const { found, end } = await store.search(parsed, issuerIds, now);
  const page = found.slice(0, parsed.limit);
  const certificates = page.map((each) => summaryOf(each, now));
  const last = found.length > page.length ? positionOf(page[page.length - 1], parsed) : end;
  return { certificates, ...(last !== undefined && { next: writeCursor(parsed, last) }) };
}

function positionOf({ serial, notAfter, reservedAt }: FoundCertificate, { order }: ParsedQuery): Position {
  const at = order === 'serial' ? 0 : (order === 'expiry' ? notAfter : reservedAt).getTime();
  return { at, serial };
}

function summaryOf({ certificate, reservedAt: _, ...found }: FoundCertificate, now: Date): CertificateSummary {
  return { ...found, status: statusOf(found, now), names: searchNamesOf(certificate) };
}

/** Revoked stays revoked, whether it has expired or not. */
export function statusOf(
  { revocation, notAfter }: Pick<FoundCertificate, 'revocation' | 'notAfter'>,
  now: Date,
): IssuedStatus {
  if (revocation !== undefined) return revocation.isHeld ? 'held' : 'revoked';
  return notAfter < now ? 'expired' : 'valid';
}
