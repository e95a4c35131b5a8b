import { contextConstructed, der, tags } from '../der/der-writer.js';
import { authorityKeyIdentifier, crlNumber } from '../issuance/extensions.js';
import type { SigningAuthority } from '../issuance/issuer.js';
import type { CrlEntry } from '../store/revocation-store.js';
import { CrlBuffer } from './crl-buffer.js';
import { maximumEntryBytes, writeEntry } from './crl-entry.js';
import { deltaCrlIndicator, freshestCrl, issuingDistributionPoint } from './crl-extensions.js';

export interface CrlContent {
  readonly authority: SigningAuthority;
  readonly number: number;
  /** Whole seconds. */
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** Of a delta: number of the full CRL it starts from. */
  readonly baseNumber?: number;
  /** Of a shard: every URL that its certificates name. */
  readonly distributionPoints?: readonly string[];
  /** Of a full CRL with deltas: where they are. */
  readonly freshest?: string;
}

/** Room is reserved for so many at most; for more the buffer grows. */
const reservedEntries = 1_000_000;
/** Room for SEQUENCE headers, version, two times. */
const fixedFrontBytes = 128;

/** A CRL that is being put together: entries first, as they come from the database, then what is around them. */
export class CrlDraft {
  readonly #buffer: CrlBuffer;
  readonly #authority: SigningAuthority;
  #newest = 0;
  #count = 0;

  /** @param most  how many entries there may be: there is room for the longest, since octets that are never written take no memory */
  constructor(authority: SigningAuthority, most = 0) {
    const front = fixedFrontBytes + authority.name.length + authority.signatureAlgorithm.identifier.length;
    this.#authority = authority;
    this.#buffer = new CrlBuffer(front, 4096 + Math.min(most, reservedEntries) * maximumEntryBytes);
  }

  get count(): number {
    return this.#count;
  }

  /** When the last of the revocations happened; before it the CRL cannot have been made. */
  get newestRevocation(): Date {
    return new Date(this.#newest);
  }

  /** Entries come in ascending order of their serials. */
  add(entry: CrlEntry): void {
    this.#buffer.write(maximumEntryBytes, (octets, at) => writeEntry(octets, at, entry));
    this.#newest = Math.max(this.#newest, entry.revokedAt.getTime());
    this.#count += 1;
  }

  /**
   * Completes the TBSCertList (RFC 5280 §5.1.2): version 2; without entries revokedCertificates is left out.
   * @returns a view that `seal` invalidates
   */
  tbs(content: CrlContent): Buffer {
    const { authority, thisUpdate, nextUpdate } = content;
    if (this.#count > 0) this.#buffer.wrap(tags.sequence);
    this.#buffer.prepend(
      der((writer) => {
        writer.integer(1).raw(authority.signatureAlgorithm.identifier).raw(authority.name);
        writer.time(thisUpdate).time(nextUpdate);
      }),
    );
    this.#buffer.append(
      der((writer) =>
        writer.constructed(contextConstructed(0), () =>
          writer.sequence(() => {
            for (const extension of extensionsOf(content)) writer.raw(extension);
          }),
        ),
      ),
    );
    this.#buffer.wrap(tags.sequence);
    return this.#buffer.view;
  }

  /** The CertificateList around the TBS. @returns its DER, a view of this draft, which is not to be used any more */
  seal(signature: Buffer): Buffer {
    this.#buffer.append(this.#authority.signatureAlgorithm.identifier);
    this.#buffer.append(der((writer) => writer.bitString(signature)));
    this.#buffer.wrap(tags.sequence);
    return this.#buffer.view;
  }
}

/** In the order they are written; the lint expects just these. */
export function extensionsOf({ authority, number, baseNumber, distributionPoints, freshest }: CrlContent): Buffer[] {
  return [
    authorityKeyIdentifier(authority.keyIdentifier),
    crlNumber(number),
    ...(baseNumber === undefined ? [] : [deltaCrlIndicator(baseNumber)]),
    ...(distributionPoints === undefined ? [] : [issuingDistributionPoint(distributionPoints)]),
    ...(freshest === undefined ? [] : [freshestCrl(freshest)]),
  ];
}
