/// <reference lib="es2024.string" />
import type { CellType } from './cell-type.js';
import { DataEncryptionError } from './errors.js';

/** What a cell encrypts: bytes, or a string, which stands for its UTF-8 bytes and spares both sides a copy. */
export type Plaintext = string | Buffer;

/** Far below what one call of OpenSSL and a string of V8 hold; the same in native/src/cell_key.h. */
export const maximumPlaintextBytes = 2 ** 28;

interface ValueEncoding<Encoded extends Plaintext> {
  /** What `encode` takes, for error messages. */
  readonly wants: string;
  /**
   * @param padTo  the number of bytes of which a padded plaintext is a multiple
   * @returns undefined when the value is not one of this type
   */
  encode(value: unknown, padTo: number): Encoded | undefined;
  /** @returns undefined when the plaintext is not an encoding of this type */
  decode(plaintext: Encoded): unknown;
}

/** Whether the plaintext of a type is text. */
export function isText(type: CellType): boolean {
  return type in textEncodings;
}

/**
 * Encodes a value as the plaintext of its cell. Numbers, dates and booleans have a fixed width, since AES-GCM does not hide
 * length: 8 bytes big-endian (IEEE 754 double; signed integer; signed milliseconds since 1970) and 1 byte.
 * @param column  `Entity.property`, for the error
 * @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID when the value is not of the column's type, or too long
 */
export function encodeValue(type: CellType, value: unknown, column: string, padTo = 1): Plaintext {
  const encoding = encodings[type];
  const plaintext = encoding.encode(value, padTo);
  if (plaintext === undefined) throw valueInvalid(column, encoding.wants, kindOf(value));
  if (isTooLong(plaintext)) throw valueInvalid(column, `at most ${maximumPlaintextBytes} bytes`, 'more');
  return plaintext;
}

/** @returns the value, or undefined when the plaintext, text or bytes as `isText` says, is not an encoding of this type */
export function decodeValue(type: CellType, plaintext: Plaintext): unknown {
  return encodings[type].decode(plaintext);
}

/** Whether two values of one type have the same plaintext: what dirty checking compares. */
export function equalValues(type: CellType, left: unknown, right: unknown): boolean {
  const encoding = encodings[type];
  const encoded = [left, right].map((value) => encoding.encode(jsonTypes.has(type) ? sorted(value) : value, 1));
  const [first, second] = encoded;
  if (first instanceof Buffer) return second instanceof Buffer && first.equals(second);
  return first !== undefined && first === second;
}

const jsonTypes: ReadonlySet<CellType> = new Set(['json', 'paddedJson', 'nullablePaddedJson']);

const textEncodings = {
  string: {
    wants: 'a well-formed string',
    // A lone surrogate has no UTF-8 form: it would come back as U+FFFD.
    encode: (value) => (typeof value === 'string' && value.isWellFormed() ? value : undefined),
    decode: (text) => text,
  },
  json: {
    wants: 'a value JSON can hold',
    encode: (value) => {
      const text = stringify(value);
      if (text === undefined || !text.isWellFormed()) return undefined;
      // What JSON has no form for it writes as one of these.
      const mayLack = text.includes('null') || text.includes('{}');
      return mayLack && lacksValues(value) ? undefined : text;
    },
    decode: (text) => {
      try {
        return JSON.parse(text) as unknown;
      } catch {
        return undefined;
      }
    },
  },
} as const satisfies Partial<Record<CellType, ValueEncoding<string>>>;

const bufferEncoding: ValueEncoding<Buffer> = {
  wants: 'a Buffer or Uint8Array',
  encode: (value) =>
    value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : undefined,
  // A copy: what the cipher returned may be a view of a larger pool.
  decode: (bytes) => Buffer.from(bytes),
};

/** What is padded as ISO/IEC 9797-1 does by its method 2: a byte 80, then bytes 00 up to a multiple. */
function padded(encoding: ValueEncoding<Buffer>): ValueEncoding<Buffer> {
  return {
    wants: encoding.wants,
    encode: (value, padTo) => {
      const encoded = encoding.encode(value, padTo);
      if (encoded === undefined) return undefined;
      const { length } = encoded;
      const bytes = Buffer.alloc((Math.floor(length / padTo) + 1) * padTo);
      encoded.copy(bytes);
      bytes[length] = 0x80;
      return bytes;
    },
    decode: (bytes) => {
      const length = bytes.lastIndexOf(0x80);
      const isPadded = length >= 0 && bytes.subarray(length + 1).every((byte) => byte === 0);
      return isPadded ? encoding.decode(bytes.subarray(0, length)) : undefined;
    },
  };
}

/** The UTF-8 bytes of text. */
function utf8(text: ValueEncoding<string>): ValueEncoding<Buffer> {
  return {
    wants: text.wants,
    encode: (value, padTo) => {
      const encoded = text.encode(value, padTo);
      return encoded === undefined ? undefined : Buffer.from(encoded, 'utf8');
    },
    decode: (bytes) => text.decode(bytes.toString('utf8')),
  };
}

/**
 * A byte 01, then the value; null is bytes 00, as many as the shortest value has.
 * @param shortest  any value of the fewest bytes
 */
function nullable(encoding: ValueEncoding<Buffer>, shortest: unknown): ValueEncoding<Buffer> {
  return {
    wants: `${encoding.wants} or null`,
    encode: (value, padTo) => {
      const encoded = encoding.encode(value === null ? shortest : value, padTo);
      if (encoded === undefined) return undefined;
      return value === null ? Buffer.alloc(1 + encoded.length) : Buffer.concat([Buffer.of(1), encoded]);
    },
    decode: (bytes) => {
      if (bytes[0] === 1) return encoding.decode(bytes.subarray(1));
      return bytes.length > 0 && bytes.every((byte) => byte === 0) ? null : undefined;
    },
  };
}

const plainEncodings = {
  number: {
    wants: 'a number',
    encode: (value) => {
      if (typeof value !== 'number') return undefined;
      const bytes = Buffer.allocUnsafe(8);
      bytes.writeDoubleBE(value);
      return bytes;
    },
    decode: (bytes) => (bytes.length === 8 ? bytes.readDoubleBE() : undefined),
  },
  bigint: {
    wants: 'a bigint of at most 64 bits',
    encode: (value) => (typeof value === 'bigint' && BigInt.asIntN(64, value) === value ? signed64(value) : undefined),
    decode: (bytes) => (bytes.length === 8 ? bytes.readBigInt64BE() : undefined),
  },
  boolean: {
    wants: 'a boolean',
    encode: (value) => (typeof value === 'boolean' ? Buffer.of(value ? 1 : 0) : undefined),
    decode: (bytes) => (bytes.length === 1 && bytes[0] <= 1 ? bytes[0] === 1 : undefined),
  },
  date: {
    wants: 'a valid Date',
    encode: (value) =>
      value instanceof Date && !Number.isNaN(value.getTime()) ? signed64(BigInt(value.getTime())) : undefined,
    decode: (bytes) => {
      if (bytes.length !== 8) return undefined;
      const date = new Date(Number(bytes.readBigInt64BE()));
      return Number.isNaN(date.getTime()) ? undefined : date;
    },
  },
  buffer: bufferEncoding,
  paddedString: padded(utf8(textEncodings.string)),
  paddedJson: padded(utf8(textEncodings.json)),
  paddedBuffer: padded(bufferEncoding),
} as const satisfies Partial<Record<CellType, ValueEncoding<Buffer>>>;

const nullableEncodings = {
  nullableNumber: nullable(plainEncodings.number, 0),
  nullableBigint: nullable(plainEncodings.bigint, 0n),
  nullableBoolean: nullable(plainEncodings.boolean, false),
  nullableDate: nullable(plainEncodings.date, new Date(0)),
  nullablePaddedString: nullable(plainEncodings.paddedString, ''),
  nullablePaddedJson: nullable(plainEncodings.paddedJson, 0),
  nullablePaddedBuffer: nullable(plainEncodings.paddedBuffer, Buffer.alloc(0)),
} as const satisfies Partial<Record<CellType, ValueEncoding<Buffer>>>;

const encodings = { ...textEncodings, ...plainEncodings, ...nullableEncodings } as Record<
  CellType,
  ValueEncoding<Plaintext>
>;

function isTooLong(plaintext: Plaintext): boolean {
  if (plaintext.length <= maximumPlaintextBytes / 3) return false;
  return (
    (typeof plaintext === 'string' ? Buffer.byteLength(plaintext, 'utf8') : plaintext.length) > maximumPlaintextBytes
  );
}

function valueInvalid(column: string, want: string, got: string): DataEncryptionError {
  return new DataEncryptionError('ERR_DATA_VALUE_INVALID', `${column}: want ${want}, got ${got}`, { column });
}

function signed64(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}

function stringify(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    // A cycle or a bigint inside.
    return undefined;
  }
}

/** Whether JSON would hold something else, without a word: of NaN, infinities and invalid dates null, of maps and sets nothing. */
function lacksValues(value: unknown): boolean {
  let isLacking = false;
  JSON.stringify(value, function (this: Record<string, unknown>, key, item: unknown) {
    const given = this[key];
    isLacking ||=
      (typeof item === 'number' && !Number.isFinite(item)) ||
      (given instanceof Date && Number.isNaN(given.getTime())) ||
      item instanceof Map ||
      item instanceof Set;
    return item;
  });
  return isLacking;
}

/** The same JSON value with keys in one order: a database entity may list them in another. */
function sorted(value: unknown): unknown {
  const text = stringify(value);
  if (text === undefined) return value;
  return JSON.parse(text, (_, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([left], [right]) => (left < right ? -1 : 1)))
      : item,
  );
}

/** Of the prototype: a property `constructor` of the value itself would be plaintext. */
function kindOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return typeof value;
  const prototype = Object.getPrototypeOf(value) as { constructor?: { name: string } } | null;
  return prototype?.constructor?.name ?? 'Object';
}
