import { contextConstructed, der, DerWriter } from '../der/der-writer.js';

/** Everything a TBSCertificate says (RFC 5280 §4.1.2); names, algorithms and extensions already in DER. */
export interface TbsCertificate {
  /** Magnitude of the serial number, most significant octet first. */
  readonly serial: Buffer;
  /** AlgorithmIdentifier of the issuer's signature. */
  readonly signatureAlgorithm: Buffer;
  readonly issuer: Buffer;
  readonly validity: Validity;
  readonly subject: Buffer;
  readonly subjectPublicKeyInfo: Buffer;
  readonly extensions: readonly Buffer[];
}

/** Whole seconds, both ends included. */
export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** DER of a version 3 TBSCertificate: the octets that are linted, committed and signed. */
export function encodeTbsCertificate(certificate: TbsCertificate): Buffer {
  return new DerWriter()
    .sequence((writer) => {
      writer.constructed(contextConstructed(0), () => writer.integer(2));
      writer.unsignedInteger(certificate.serial);
      writer.raw(certificate.signatureAlgorithm);
      writer.raw(certificate.issuer);
      writer.sequence(() => writer.time(certificate.validity.notBefore).time(certificate.validity.notAfter));
      writer.raw(certificate.subject);
      writer.raw(certificate.subjectPublicKeyInfo);
      writer.constructed(contextConstructed(3), () =>
        writer.sequence(() => {
          for (const extension of certificate.extensions) writer.raw(extension);
        }),
      );
    })
    .finish();
}

/** A Certificate or CertificateList: SEQUENCE { tbs, signatureAlgorithm, signature } (RFC 5280 §4.1, §5.1). */
export function encodeSigned(tbs: Buffer, signatureAlgorithm: Buffer, signature: Buffer): Buffer {
  return der((writer) => writer.sequence(() => writer.raw(tbs).raw(signatureAlgorithm).bitString(signature)));
}
