import { contextConstructed, contextPrimitive, type DerWriter } from '../der/der-writer.js';
import { oids } from '../der/oid.js';
import { extension } from '../issuance/extensions.js';

/** RFC 5280 §5.2.4: the number of the full CRL a delta starts from. Critical. */
export function deltaCrlIndicator(baseNumber: number): Buffer {
  return extension(oids.deltaCRLIndicator, true, (writer) => writer.integer(baseNumber));
}

/** RFC 5280 §5.2.5: the certificates whose distribution point has one of these URLs. Critical. */
export function issuingDistributionPoint(urls: readonly string[]): Buffer {
  return extension(oids.issuingDistributionPoint, true, (writer) => writer.sequence(() => writeName(writer, urls)));
}

/** RFC 5280 §5.2.6: where the delta CRL is. Not critical, and not in a delta. */
export function freshestCrl(url: string): Buffer {
  return extension(oids.freshestCRL, false, (writer) =>
    writer.sequence(() => writer.sequence(() => writeName(writer, [url]))),
  );
}

/** DistributionPointName as a fullName of URIs, under its tag. */
function writeName(writer: DerWriter, urls: readonly string[]): void {
  writer.constructed(contextConstructed(0), () =>
    writer.constructed(contextConstructed(0), () => {
      for (const url of urls) writer.primitive(contextPrimitive(6), Buffer.from(url, 'latin1'));
    }),
  );
}
