import { z } from 'zod';
import { der, tags } from '../der/der-writer.js';
import type { DerNode } from '../der/der-reader.js';
import { decodeOid, oids } from '../der/oid.js';
import { isCountryCode } from './country-code.js';

interface AttributeFacts {
  readonly oid: string;
  /** Upper bound in characters. */
  readonly maximum: number;
  /** How it is written: country and serialNumber must be PrintableString, an e-mail address IA5String, the rest is UTF8String. */
  readonly tag: number;
}

/**
 * The attributes a name may have, in the order they are written: the most general first, as CABF BR §7.1.4.2 orders them.
 * Types and upper bounds: RFC 5280 appendix A.1.
 */
export const nameAttributes = {
  country: { oid: oids.countryName, maximum: 2, tag: tags.printableString },
  stateOrProvince: { oid: oids.stateOrProvinceName, maximum: 128, tag: tags.utf8String },
  locality: { oid: oids.localityName, maximum: 128, tag: tags.utf8String },
  organization: { oid: oids.organizationName, maximum: 64, tag: tags.utf8String },
  organizationalUnit: { oid: oids.organizationalUnitName, maximum: 64, tag: tags.utf8String },
  commonName: { oid: oids.commonName, maximum: 64, tag: tags.utf8String },
  serialNumber: { oid: oids.serialNumber, maximum: 64, tag: tags.printableString },
  emailAddress: { oid: oids.emailAddress, maximum: 255, tag: tags.ia5String },
} as const satisfies Record<string, AttributeFacts>;

export type AttributeName = keyof typeof nameAttributes;
export const attributeNames = Object.keys(nameAttributes) as readonly AttributeName[];

/** UTF-8 that somebody has read as Windows-1252 and encoded again: a capital A with tilde and what the second octet became. */
const mixedUp = new RegExp(
  `\u00c3[${new TextDecoder('windows-1252').decode(Uint8Array.from({ length: 64 }, (_, index) => 0x80 + index))}]`,
);

/** What nobody sees, and what makes the rest look like another text to whoever approves of it (Unicode TR36 §2.4, §3.1): but for joiners. */
const hidden = /[\p{Cc}\p{Co}\p{Cs}\p{Zl}\p{Zp}\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]/u;

const text = (maximum: number) =>
  z
    .string()
    .min(1)
    .max(maximum)
    .refine((value) => !hidden.test(value), 'want no control characters, and none that hide or turn others round')
    .refine((value) => value === value.trim(), 'want no spaces around')
    // A dash or a dot in place of a value says nothing (CABF BR §7.1.4.2, and linters).
    .regex(/[\p{L}\p{N}]/u, 'want a letter or a digit')
    // Traces of a wrong conversion on the way here, which linters know as well.
    .refine((value) => !value.includes('\ufffd') && !mixedUp.test(value), 'want text in its own characters')
    .refine((value) => !/&#?[A-Za-z0-9]+;/.test(value), 'want no HTML entities');

/** One schema for each attribute's value: what may stand in a name we write. */
export const attributeValueSchemas = {
  commonName: text(nameAttributes.commonName.maximum),
  organizationalUnit: text(nameAttributes.organizationalUnit.maximum),
  organization: text(nameAttributes.organization.maximum),
  locality: text(nameAttributes.locality.maximum),
  stateOrProvince: text(nameAttributes.stateOrProvince.maximum),
  country: z.string().refine(isCountryCode, 'want two upper-case letters of ISO 3166-1, such as GB'),
  /** A PrintableString (X.680 §41.4). */
  serialNumber: text(nameAttributes.serialNumber.maximum).regex(
    /^[A-Za-z0-9 '()+,\-./:=?]*$/,
    "want letters, digits, spaces and '()+,-./:=?",
  ),
  emailAddress: text(nameAttributes.emailAddress.maximum).regex(
    /^[\x21-\x7e]+@[\x21-\x7e]+$/,
    'want an address in ASCII',
  ),
} as const satisfies Record<AttributeName, z.ZodType<string>>;

/** The subject of a CA certificate, as an operator writes it. */
export const distinguishedNameSchema = z.strictObject({
  commonName: attributeValueSchemas.commonName,
  organizationalUnit: attributeValueSchemas.organizationalUnit.optional(),
  organization: attributeValueSchemas.organization.optional(),
  locality: attributeValueSchemas.locality.optional(),
  stateOrProvince: attributeValueSchemas.stateOrProvince.optional(),
  country: attributeValueSchemas.country.optional(),
});
export type DistinguishedName = Readonly<z.infer<typeof distinguishedNameSchema>>;

/** Attributes of a subject by name, each at most once. */
export type SubjectAttributes = Readonly<Partial<Record<AttributeName, string>>>;

/** One AttributeTypeAndValue as it was sent. */
export interface NameAttribute {
  readonly type: string;
  readonly value: DerNode;
}

/** DER of a Name, in the order and the types of `nameAttributes` (RFC 5280 §4.1.2.4). */
export function encodeDistinguishedName(name: SubjectAttributes): Buffer {
  return der((writer) =>
    writer.sequence(() => {
      for (const attribute of attributeNames) {
        const value = name[attribute];
        if (value === undefined) continue;
        const { oid, tag } = nameAttributes[attribute];
        writer.constructed(tags.set, () =>
          writer.sequence(() => writer.oid(oid).primitive(tag, Buffer.from(value, 'utf8'))),
        );
      }
    }),
  );
}

/** What an attribute type is called here; undefined for one that no name of ours has. */
export function attributeNameOf(type: string): AttributeName | undefined {
  return attributeNames.find((name) => nameAttributes[name].oid === type);
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

/** The text of a DirectoryString in one of the types still in use; undefined for any other, or for octets that are none of its. */
export function readDirectoryString(value: DerNode): string | undefined {
  if (value.tag === tags.printableString || value.tag === tags.ia5String)
    return value.content.every((octet) => octet < 0x80) ? value.content.toString('latin1') : undefined;
  if (value.tag !== tags.utf8String) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(value.content);
  } catch {
    return undefined;
  }
}
