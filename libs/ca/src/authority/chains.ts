import { createHash } from 'node:crypto';
import { CaError } from '../errors.js';
import { type CaCertificate, readCaCertificate } from '../issuance/ca-certificate.js';
import { isSignedBy } from '../issuance/issuer.js';
import type { AuthorityStore } from '../store/authority-store.js';
import type { CertificateStore } from '../store/certificate-store.js';

export interface ChainSource {
  readonly certificates: CertificateStore;
  readonly authorities: AuthorityStore;
}

/** Its certificate first, then each one's issuer, the self-signed root last. */
export type Chain = readonly [CaCertificate, ...CaCertificate[]];

/** Certificates of a chain; deeper hierarchies are mistakes. */
const maximumDepth = 8;
/** Chains of one key; cross-signing doubles them with each cross-signed level. */
const maximumChains = 16;

/** A certificate, and where its issuer's certificate is to be looked for. */
interface Candidate {
  readonly certificate: CaCertificate;
  /** Key identifier of the issuer's key, for a certificate that was issued here. */
  readonly issuerId?: string;
}

/**
 * Every chain of a key: from a certificate of it, issued here or imported, to a self-signed one. Each link's signature is
 * verified, so that a database can leave chains out and cannot make one up below a root that is not its own.
 * @param keyId  key identifier in hexadecimal
 * @throws {CaError} ERR_CA_ISSUER_UNUSABLE when a stored certificate is none, or none of its chains is whole
 */
export async function chainsOf(source: ChainSource, keyId: string): Promise<Chain[]> {
  const candidates = await certificatesOf(source, keyId);
  const chains: Chain[] = [];
  for (const candidate of candidates) await climb(source, candidate, [], chains);
  if (candidates.length > 0 && chains.length === 0)
    throw new CaError(
      'ERR_CA_ISSUER_UNUSABLE',
      `chain of issuer key ${keyId}: want each certificate signed by the next one up to a root, got none that is whole`,
    );
  return chains;
}

/** Certificates of a key, those issued here first. */
async function certificatesOf({ certificates, authorities }: ChainSource, keyId: string): Promise<Candidate[]> {
  const issued = await certificates.listAuthority(keyId);
  const imported = await authorities.listImported({ subjectKeyId: keyId });
  return [
    ...issued.map(({ certificate = Buffer.alloc(0), issuerId }) => ({
      certificate: readCaCertificate(certificate),
      issuerId,
    })),
    ...imported.map(({ certificate }) => ({ certificate: readCaCertificate(certificate) })),
  ];
}

async function climb(
  source: ChainSource,
  { certificate, issuerId }: Candidate,
  below: readonly CaCertificate[],
  chains: Chain[],
): Promise<void> {
  if (chains.length >= maximumChains || below.length >= maximumDepth) return;
  if (!allowsBelow(certificate, below)) return;
  const path = [...below, certificate] as unknown as Chain;
  if (certificate.subject.equals(certificate.issuer)) {
    if (isSignedBy(certificate, certificate)) chains.push(path);
    return;
  }
  const above = issuerId === undefined ? [] : await certificatesOf(source, issuerId);
  const named = await source.authorities.listImported({ subjectSha256: sha256(certificate.issuer) });
  const imported = named.map((each): Candidate => ({ certificate: readCaCertificate(each.certificate) }));
  for (const candidate of distinct([...above, ...imported])) {
    const isInPath = path.some(({ der }) => der.equals(candidate.certificate.der));
    if (!isInPath && isSignedBy(certificate, candidate.certificate)) await climb(source, candidate, path, chains);
  }
}

/** RFC 5280 §4.2.1.9: intermediate certificates that follow, self-issued ones not counted. */
function allowsBelow({ pathLength }: CaCertificate, below: readonly CaCertificate[]): boolean {
  const following = below.filter(({ subject, issuer }) => !subject.equals(issuer)).length;
  return pathLength === undefined || following <= pathLength;
}

function distinct(candidates: readonly Candidate[]): Candidate[] {
  return candidates.filter(
    ({ certificate }, index) =>
      candidates.findIndex((other) => other.certificate.der.equals(certificate.der)) === index,
  );
}

export function sha256(octets: Uint8Array): string {
  return createHash('sha256').update(octets).digest('hex');
}
