import { createHash } from 'node:crypto';
import { DerError, parseDer } from '../der/der-reader.js';
import { contextConstructed, tags } from '../der/der-writer.js';
import type { SignedRecordKind, SignedRecordStore } from '../store/signed-record-store.js';

/** A signature of a CA's key, as the audit trail tells of it. */
export interface SignatureEvent {
  /** Where it is told of, for whoever looks it up. */
  readonly place: string;
  readonly time: string;
  /** Label of the key. */
  readonly key: string;
  /** Of a CA; such a key signs no cluster's certificate. */
  readonly isCaKey: boolean;
  /** Of what was signed, with the hash of the mechanism, in hexadecimal. */
  readonly digest?: string;
  readonly correlationId?: string;
}

export interface Reconciliation {
  /** Signatures, each attempt by itself. */
  readonly events: number;
  readonly matched: Readonly<Record<SignedRecordKind, number>>;
  /**
   * Signatures of CRLs whose octets are not kept any more, matched by the SHA-256 in the database, or by the one that the CA gave as a
   * correlation id: as good as the word of whoever writes them.
   */
  readonly matchedByWord: number;
  /** Signatures of nothing that the CA knows of. */
  readonly unmatched: readonly SignatureEvent[];
}

/**
 * Looks for the certificate, CRL, request or transcript of every signature. What was signed is hashed anew: the digests in the database
 * are what somebody may have written there. Memory grows with the number of signatures (some 200 octets each), not with the database.
 */
export async function reconcile(
  events: AsyncIterable<SignatureEvent>,
  records: SignedRecordStore,
): Promise<Reconciliation> {
  const open = new OpenEvents();
  for await (const event of events) open.add(event);
  const matched = { certificate: 0, crl: 0, request: 0, transcript: 0, cluster: 0 };
  let matchedByWord = 0;
  for await (const record of records.signedRecords()) {
    if (open.isEmpty) break;
    const { kind, sha256, octets } = record;
    if (octets === undefined) matchedByWord += open.take([sha256]) + open.takeByWord(sha256);
    else if (isOfItsKind(kind, octets))
      matched[kind] += open.take([hash('sha256', octets), hash('sha384', octets)], kind !== 'cluster');
  }
  return { events: open.added, matched, matchedByWord, unmatched: open.left };
}

/** A certificate is no request and no transcript, whoever writes it into their table. */
function isOfItsKind(kind: SignedRecordKind, octets: Buffer): boolean {
  if (kind === 'transcript') return octets[0] === 0x7b;
  if (kind !== 'request') return true;
  try {
    // CertificationRequestInfo begins with version v1 (0), a TBSCertificate with [0] or its serial.
    const [version, subject] = parseDer(octets).children;
    return (
      version.raw.equals(Buffer.of(0x02, 1, 0)) &&
      subject.tag === tags.sequence &&
      parseDer(octets).children[3]?.tag === contextConstructed(0)
    );
  } catch (error) {
    if (error instanceof DerError || error instanceof TypeError) return false;
    throw error;
  }
}

function hash(algorithm: 'sha256' | 'sha384', octets: Buffer): string {
  return createHash(algorithm).update(octets).digest('hex');
}

/** Signatures nothing is found for yet, by digest. */
class OpenEvents {
  readonly #byDigest = new Map<string, SignatureEvent[]>();
  /** Digests, by the correlation id they came with. */
  readonly #byWord = new Map<string, Set<string>>();
  readonly #withoutDigest: SignatureEvent[] = [];
  added = 0;

  add(event: SignatureEvent): void {
    this.added += 1;
    if (event.digest === undefined) {
      this.#withoutDigest.push(event);
      return;
    }
    const { digest, correlationId = '' } = event;
    this.#byWord.set(correlationId, (this.#byWord.get(correlationId) ?? new Set()).add(digest));
    const same = this.#byDigest.get(digest);
    // The same octets signed again: an attempt that was repeated.
    if (same === undefined) this.#byDigest.set(digest, [event]);
    else same.push(event);
  }

  get isEmpty(): boolean {
    return this.#byDigest.size === 0;
  }

  /** @returns how many events are accounted for */
  take(digests: readonly string[], ofCaKeys = true): number {
    let taken = 0;
    for (const digest of digests) {
      const events = this.#byDigest.get(digest) ?? [];
      const left = ofCaKeys ? [] : events.filter(({ isCaKey }) => isCaKey);
      taken += events.length - left.length;
      if (left.length === 0) this.#byDigest.delete(digest);
      else this.#byDigest.set(digest, left);
    }
    return taken;
  }

  takeByWord(sha256: string): number {
    return this.take([...(this.#byWord.get(sha256) ?? [])]);
  }

  get left(): SignatureEvent[] {
    return [...this.#withoutDigest, ...[...this.#byDigest.values()].flat()];
  }
}
