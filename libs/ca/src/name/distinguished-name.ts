import { z } from 'zod';
import { der, tags } from '../der/der-writer.js';
import type { DerNode } from '../der/der-reader.js';
import { decodeOid, oids } from '../der/oid.js';

const text = (maximum: number) =>
  z
    .string()
    .min(1)
    .max(maximum)
    .regex(/^[^\p{Cc}]*$/u, 'want no control characters')
    .refine((value) => value === value.trim(), 'want no spaces around');

/** The subject of a CA certificate, as an operator writes it. Upper bounds: RFC 5280 appendix A.1. */
export const distinguishedNameSchema = z.strictObject({
  commonName: text(64),
  organizationalUnit: text(64).optional(),
  organization: text(64).optional(),
  locality: text(128).optional(),
  stateOrProvince: text(128).optional(),
  /** Two letters (ISO 3166-1). */
  country: z
    .string()
    .regex(/^[A-Z]{2}$/, 'want two upper-case letters')
    .optional(),
});
export type DistinguishedName = Readonly<z.infer<typeof distinguishedNameSchema>>;

/** One AttributeTypeAndValue as it was sent. */
export interface NameAttribute {
  readonly type: string;
  readonly value: DerNode;
}

/** DER of a Name, the most general attribute first; the country is a PrintableString, the rest UTF8String (RFC 5280 §4.1.2.4). */
export function encodeDistinguishedName(name: Partial<DistinguishedName>): Buffer {
  const attributes: [string, string | undefined][] = [
    [oids.countryName, name.country],
    [oids.stateOrProvinceName, name.stateOrProvince],
    [oids.localityName, name.locality],
    [oids.organizationName, name.organization],
    [oids.organizationalUnitName, name.organizationalUnit],
    [oids.commonName, name.commonName],
  ];
  return der((writer) =>
    writer.sequence(() => {
      for (const [type, value] of attributes) {
        if (value === undefined) continue;
        writer.constructed(tags.set, () =>
          writer.sequence(() => {
            writer.oid(type);
            if (type === oids.countryName) writer.printableString(value);
            else writer.utf8String(value);
          }),
        );
      }
    }),
  );
}

/** The attributes of a Name, in order; undefined when it is not one (RFC 5280 §4.1.2.4). */
export function readDistinguishedName(name: DerNode): NameAttribute[] | undefined {
  if (name.tag !== tags.sequence) return undefined;
  const attributes: NameAttribute[] = [];
  for (const set of name.children) {
    if (set.tag !== tags.set || set.children.length === 0) return undefined;
    for (const attribute of set.children) {
      const [type, value] = attribute.children;
      if (attribute.tag !== tags.sequence || attribute.children.length !== 2 || type.tag !== tags.oid) return undefined;
      attributes.push({ type: decodeOid(type.content), value });
    }
  }
  return attributes;
}

/** The text of a DirectoryString in one of the types still in use; undefined for any other, or for malformed UTF-8. */
export function readDirectoryString(value: DerNode): string | undefined {
  if (value.tag === tags.printableString || value.tag === tags.ia5String) return value.content.toString('latin1');
  if (value.tag !== tags.utf8String) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(value.content);
  } catch {
    return undefined;
  }
}
