import { contextConstructed, contextPrimitive, der, type DerWriter, tags } from '../der/der-writer.js';
import { oids } from '../der/oid.js';
import { type GeneralName, writeGeneralName } from '../name/general-name.js';
import type { NameConstraints } from '../profile/name-constraints.js';
import { type KeyUsageBit, keyUsageBits } from '../profile/key-usage.js';
import type { CertificatePolicy } from '../profile/profile.js';

/** DER of one Extension (RFC 5280 §4.2); `critical` is written only when true, as DER wants of a DEFAULT. */
export function extension(oid: string, critical: boolean, value: (writer: DerWriter) => void): Buffer {
  return der((writer) =>
    writer.sequence(() => {
      writer.oid(oid);
      if (critical) writer.boolean(true);
      writer.octetStringOf(value);
    }),
  );
}

/** RFC 5280 §4.2.1.1, keyIdentifier form. */
export function authorityKeyIdentifier(keyIdentifier: Buffer): Buffer {
  return extension(oids.authorityKeyIdentifier, false, (writer) =>
    writer.sequence(() => writer.primitive(contextPrimitive(0), keyIdentifier)),
  );
}

/** RFC 5280 §4.2.1.2. */
export function subjectKeyIdentifier(keyIdentifier: Buffer): Buffer {
  return extension(oids.subjectKeyIdentifier, false, (writer) => writer.octetString(keyIdentifier));
}

/** RFC 5280 §4.2.1.3. */
export function keyUsage(bits: readonly KeyUsageBit[]): Buffer {
  return extension(oids.keyUsage, true, (writer) => writer.namedBits(bits.map((bit) => keyUsageBits[bit])));
}

/** RFC 5280 §4.2.1.6: critical if and only if the subject is empty. */
export function subjectAltName(names: readonly GeneralName[], critical: boolean): Buffer {
  return extension(oids.subjectAltName, critical, (writer) =>
    writer.sequence(() => {
      for (const name of names) writeGeneralName(writer, name);
    }),
  );
}

/** RFC 5280 §4.2.1.9; an end entity's is an empty SEQUENCE. */
export function basicConstraints(authority: { readonly pathLength?: number } | undefined): Buffer {
  return extension(oids.basicConstraints, true, (writer) =>
    writer.sequence(() => {
      if (authority === undefined) return;
      writer.boolean(true);
      if (authority.pathLength !== undefined) writer.integer(authority.pathLength);
    }),
  );
}

/** RFC 5280 §4.2.1.10. */
export function nameConstraints(constraints: NameConstraints): Buffer {
  return extension(oids.nameConstraints, true, (writer) => constraints.write(writer));
}

/** RFC 5280 §4.2.1.12. */
export function extendedKeyUsage(purposes: readonly string[]): Buffer {
  return extension(oids.extendedKeyUsage, false, (writer) =>
    writer.sequence(() => {
      for (const purpose of purposes) writer.oid(purpose);
    }),
  );
}

/** RFC 5280 §4.2.1.4: policies by OID, with the URI of a practice statement as their only qualifier. */
export function certificatePolicies(policies: readonly CertificatePolicy[]): Buffer {
  return extension(oids.certificatePolicies, false, (writer) =>
    writer.sequence(() => {
      for (const { oid, cps } of policies)
        writer.sequence(() => {
          writer.oid(oid);
          if (cps === undefined) return;
          writer.sequence(() =>
            writer.sequence(() => writer.oid(oids.cps).primitive(tags.ia5String, Buffer.from(cps, 'latin1'))),
          );
        });
    }),
  );
}

/** RFC 5280 §4.2.1.13: one distribution point; several URLs lead to the same CRL. */
export function crlDistributionPoints(urls: readonly string[]): Buffer {
  return extension(oids.crlDistributionPoints, false, (writer) =>
    writer.sequence(() =>
      writer.sequence(() =>
        writer.constructed(contextConstructed(0), () =>
          writer.constructed(contextConstructed(0), () => {
            for (const url of urls) writer.primitive(uriTag, Buffer.from(url, 'latin1'));
          }),
        ),
      ),
    ),
  );
}

/** RFC 5280 §4.2.2.1: who answers for the status, and where the issuer's certificate is. */
export function authorityInfoAccess(locations: {
  readonly ocsp?: readonly string[];
  readonly caIssuers?: readonly string[];
}): Buffer {
  const { ocsp = [], caIssuers = [] } = locations;
  return extension(oids.authorityInfoAccess, false, (writer) =>
    writer.sequence(() => {
      for (const [method, urls] of [
        [oids.ocsp, ocsp],
        [oids.caIssuers, caIssuers],
      ] as const)
        for (const url of urls) writer.sequence(() => writer.oid(method).primitive(uriTag, Buffer.from(url, 'latin1')));
    }),
  );
}

/** RFC 6960 §4.2.2.2.1: the status of this OCSP responder's certificate is not asked for. */
export function ocspNoCheck(): Buffer {
  return extension(oids.ocspNoCheck, false, (writer) => writer.null());
}

/** RFC 9608 §2. */
export function noRevocationAvailable(): Buffer {
  return extension(oids.noRevAvail, false, (writer) => writer.null());
}

/** RFC 7633 §4: the server must staple an OCSP response (status_request, 5). */
export function tlsFeatureStatusRequest(): Buffer {
  return extension(oids.tlsFeature, false, (writer) => writer.sequence(() => writer.integer(5)));
}

/** RFC 5280 §5.2.3. */
export function crlNumber(number: number): Buffer {
  return extension(oids.crlNumber, false, (writer) => writer.integer(number));
}

const uriTag = contextPrimitive(6);
