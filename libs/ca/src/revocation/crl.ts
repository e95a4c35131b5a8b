import { contextConstructed, DerWriter } from '../der/der-writer.js';
import { authorityKeyIdentifier, crlNumber } from '../issuance/extensions.js';
import type { SigningAuthority } from '../issuance/issuer.js';

export interface CrlContent {
  readonly authority: SigningAuthority;
  readonly number: number;
  /** Whole seconds. */
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
}

/** DER of a version 2 TBSCertList without entries: revokedCertificates is then left out (RFC 5280 §5.1.2.6). */
export function encodeTbsCertList({ authority, number, thisUpdate, nextUpdate }: CrlContent): Buffer {
  return new DerWriter()
    .sequence((writer) => {
      writer.integer(1);
      writer.raw(authority.signatureAlgorithm.identifier);
      writer.raw(authority.name);
      writer.time(thisUpdate).time(nextUpdate);
      writer.constructed(contextConstructed(0), () =>
        writer.sequence(() => writer.raw(authorityKeyIdentifier(authority.keyIdentifier)).raw(crlNumber(number))),
      );
    })
    .finish();
}
