import { encodeOid } from './oid.js';

/** Identifier octets of the types the CA writes and reads (X.690 §8.1.2). */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Identifier of `[number]` in an IMPLICIT primitive type. */
export const contextPrimitive = (number: number): number => 0x80 | number;
/** Identifier of `[number]` EXPLICIT, or of an IMPLICIT constructed type. */
export const contextConstructed = (number: number): number => 0xa0 | number;

/**
 * Writes DER (X.690) front to back into one growing buffer. A constructed value is written by a callback and its length
 * filled in afterwards, so code reads in the order of the ASN.1 and nothing is assembled twice.
 */
export class DerWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(initialBytes = 1024) {
    this.#buffer = Buffer.allocUnsafe(initialBytes);
  }

  sequence(content: (writer: this) => void): this {
    return this.constructed(tags.sequence, content);
  }

  /** A value whose content is whatever the callback writes. */
  constructed(tag: number, content: (writer: this) => void): this {
    this.#octet(tag);
    this.#octet(0);
    const start = this.#length;
    content(this);
    this.#closeLength(start);
    return this;
  }

  /** An OCTET STRING around DER, e.g. the extnValue of an extension. */
  octetStringOf(content: (writer: this) => void): this {
    return this.constructed(tags.octetString, content);
  }

  /** A primitive value from its content octets. */
  primitive(tag: number, content: Uint8Array): this {
    this.#octet(tag);
    this.#lengthOctets(content.length);
    return this.raw(content);
  }

  /** DER that is already encoded. */
  raw(der: Uint8Array): this {
    this.#reserve(der.length);
    this.#buffer.set(der, this.#length);
    this.#length += der.length;
    return this;
  }

  boolean(value: boolean): this {
    return this.primitive(tags.boolean, Uint8Array.of(value ? 0xff : 0));
  }

  /** A non-negative INTEGER that fits a number. */
  integer(value: number): this {
    if (value < 0x80) {
      this.#octet(tags.integer);
      this.#octet(1);
      this.#octet(value);
      return this;
    }
    const hexadecimal = value.toString(16);
    return this.unsignedInteger(
      Buffer.from(hexadecimal.padStart(hexadecimal.length + (hexadecimal.length % 2), '0'), 'hex'),
    );
  }

  /** A non-negative INTEGER from its magnitude, most significant octet first; leading zeros are dropped (X.690 §8.3.2). */
  unsignedInteger(magnitude: Uint8Array): this {
    let start = 0;
    while (start < magnitude.length - 1 && magnitude[start] === 0) start += 1;
    const significant = magnitude.subarray(start);
    if (significant[0] < 0x80) return this.primitive(tags.integer, significant);
    this.#octet(tags.integer);
    this.#lengthOctets(significant.length + 1);
    this.#octet(0);
    return this.raw(significant);
  }

  oid(oid: string): this {
    return this.primitive(tags.oid, encodeOid(oid));
  }

  null(): this {
    return this.primitive(tags.null, new Uint8Array(0));
  }

  octetString(content: Uint8Array): this {
    return this.primitive(tags.octetString, content);
  }

  /** A BIT STRING of whole octets. */
  bitString(content: Uint8Array): this {
    this.#octet(tags.bitString);
    this.#lengthOctets(content.length + 1);
    this.#octet(0);
    return this.raw(content);
  }

  /** A BIT STRING of named bits: trailing zero bits are dropped (X.690 §11.2.2). @param bits  positions below 16 */
  namedBits(bits: readonly number[]): this {
    const last = Math.max(...bits);
    const content = Buffer.alloc(1 + (last >> 3) + 1);
    content[0] = 7 - (last & 7);
    for (const bit of bits) content[1 + (bit >> 3)] |= 0x80 >> (bit & 7);
    return this.primitive(tags.bitString, content);
  }

  utf8String(text: string): this {
    return this.primitive(tags.utf8String, Buffer.from(text, 'utf8'));
  }

  printableString(text: string): this {
    return this.primitive(tags.printableString, Buffer.from(text, 'latin1'));
  }

  /** UTCTime through the year 2049, GeneralizedTime from 2050, in whole seconds and Z (RFC 5280 §4.1.2.5). */
  time(at: Date): this {
    const digits = timeDigits(at);
    if (at.getUTCFullYear() >= 2050) return this.primitive(tags.generalizedTime, Buffer.from(`${digits}Z`, 'latin1'));
    return this.primitive(tags.utcTime, Buffer.from(`${digits.slice(2)}Z`, 'latin1'));
  }

  /** GeneralizedTime in whole seconds and Z, whatever the year: what is not a Time of RFC 5280 §4.1.2.5. */
  generalizedTime(at: Date): this {
    return this.primitive(tags.generalizedTime, Buffer.from(`${timeDigits(at)}Z`));
  }

  /** A copy of what was written. */
  finish(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.#length));
  }

  #closeLength(start: number): void {
    const length = this.#length - start;
    if (length < 0x80) {
      this.#buffer[start - 1] = length;
      return;
    }
    const more = lengthOfLength(length);
    this.#reserve(more);
    this.#buffer.copyWithin(start + more, start, this.#length);
    this.#length += more;
    this.#buffer[start - 1] = 0x80 | more;
    this.#buffer.writeUIntBE(length, start, more);
  }

  #lengthOctets(length: number): void {
    if (length < 0x80) return this.#octet(length);
    const more = lengthOfLength(length);
    this.#octet(0x80 | more);
    this.#reserve(more);
    this.#buffer.writeUIntBE(length, this.#length, more);
    this.#length += more;
  }

  #octet(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#length] = value;
    this.#length += 1;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

/** DER of what one callback writes. */
export function der(content: (writer: DerWriter) => void): Buffer {
  const writer = new DerWriter(256);
  content(writer);
  return writer.finish();
}

function lengthOfLength(length: number): number {
  if (length < 0x100) return 1;
  if (length < 0x10000) return 2;
  return length < 0x1000000 ? 3 : 4;
}

/** YYYYMMDDhhmmss. */
function timeDigits(at: Date): string {
  const iso = at.toISOString();
  return `${iso.slice(0, 4)}${iso.slice(5, 7)}${iso.slice(8, 10)}${iso.slice(11, 13)}${iso.slice(14, 16)}${iso.slice(17, 19)}`;
}
