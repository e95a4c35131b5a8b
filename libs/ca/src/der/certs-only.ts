import { contextConstructed, der, tags } from './der-writer.js';
import { oids } from './oid.js';

/**
 * Certificates in a PKCS #7 message that signs nothing: ContentInfo { signedData, SignedData { version 1, no digest, no content,
 * the certificates, no signer } } (RFC 5652 §5.1, RFC 8551 §3.2.2). Written in DER, so the certificates come in the order of
 * their octets, not of the chain.
 * @param certificates  DER each
 */
export function encodeCertsOnly(certificates: readonly Buffer[]): Buffer {
  const set = [...certificates].sort((left, right) => Buffer.compare(left, right));
  return der((writer) =>
    writer.sequence(() => {
      writer.oid(oids.signedData);
      writer.constructed(contextConstructed(0), () =>
        writer.sequence(() => {
          writer.integer(1);
          writer.constructed(tags.set, () => undefined);
          writer.sequence(() => writer.oid(oids.data));
          writer.constructed(contextConstructed(0), () => {
            for (const certificate of set) writer.raw(certificate);
          });
          writer.constructed(tags.set, () => undefined);
        }),
      );
    }),
  );
}
