import { der, contextConstructed, type DerWriter } from '../der/der-writer.js';
import { oids } from '../der/oid.js';

/** Hashes of RSASSA-PSS that are accepted, with the length of the salt in octets. */
const hashes = [
  { name: 'sha256', oid: oids.sha256, saltLength: 32 },
  { name: 'sha384', oid: oids.sha384, saltLength: 48 },
  { name: 'sha512', oid: oids.sha512, saltLength: 64 },
] as const;
export type PssHash = (typeof hashes)[number]['name'];

/** Every encoding of parameters that are accepted: few, so that octets are compared and nothing is interpreted. */
const accepted = new Map<string, PssHash>(
  hashes.flatMap((hash) =>
    [true, false].flatMap((hasNull) =>
      [true, false].map((masksWithNull) => [encode(hash, hasNull, masksWithNull), hash.name] as const),
    ),
  ),
);

/**
 * The hash of RSASSA-PSS-params (RFC 4055 §3.1): one hash for the message and for MGF1, a salt as long as its output and the default
 * trailer, as CABF BR §7.1.3.2.1 wants it. The hash's own parameters may be NULL or absent (§2.1).
 * @param parameters  DER
 * @returns undefined for any other
 */
export function pssHashOf(parameters: Buffer): PssHash | undefined {
  return accepted.get(parameters.toString('latin1'));
}

function encode({ oid, saltLength }: (typeof hashes)[number], hasNull: boolean, masksWithNull: boolean): string {
  const hash = (writer: DerWriter, isNull: boolean): DerWriter =>
    writer.sequence(() => {
      writer.oid(oid);
      if (isNull) writer.null();
    });
  const parameters = der((writer) =>
    writer.sequence(() => {
      writer.constructed(contextConstructed(0), () => hash(writer, hasNull));
      writer.constructed(contextConstructed(1), () =>
        writer.sequence(() => hash(writer.oid(oids.mgf1), masksWithNull)),
      );
      writer.constructed(contextConstructed(2), () => writer.integer(saltLength));
    }),
  );
  return parameters.toString('latin1');
}
