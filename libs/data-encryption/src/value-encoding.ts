/// <reference lib="es2024.string" />
import { DataEncryptionError } from './errors.js';

/** What a cell holds. The number is bound in the associated data (docs/ENVELOPE.md) and never reused. */
export const valueTypes = { string: 1, number: 2, bigint: 3, boolean: 4, date: 5, json: 6, buffer: 7 } as const;
export type ValueType = keyof typeof valueTypes;

interface ValueEncoding {
  /** What `encode` takes, for error messages. */
  readonly wants: string;
  /** @returns undefined when the value is not one of this type */
  encode(value: unknown): Buffer | undefined;
  /** @returns undefined when the bytes are not an encoding of this type */
  decode(bytes: Buffer): unknown;
}

/**
 * Encodes a value as the plaintext of its cell. Numbers, dates and booleans have a fixed width, since AES-GCM does not hide
 * length: 8 bytes big-endian (IEEE 754 double; signed integer; signed milliseconds since 1970) and 1 byte.
 * @param column  `Entity.property`, for the error
 * @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID when the value is not of the column's type
 */
export function encodeValue(type: ValueType, value: unknown, column: string): Buffer {
  const encoding = encodings[type];
  const bytes = encoding.encode(value);
  if (bytes !== undefined) return bytes;
  throw new DataEncryptionError('ERR_DATA_VALUE_INVALID', `${column}: want ${encoding.wants}, got ${kindOf(value)}`, {
    column,
  });
}

/** @returns the value, or undefined when the bytes are not an encoding of this type */
export function decodeValue(type: ValueType, bytes: Buffer): unknown {
  return encodings[type].decode(bytes);
}

/** Whether two values of one type have the same plaintext: what dirty checking compares. */
export function equalValues(type: ValueType, left: unknown, right: unknown): boolean {
  const encoding = encodings[type];
  const encoded = [left, right].map((value) => encoding.encode(type === 'json' ? sorted(value) : value));
  return encoded[0] !== undefined && encoded[1] !== undefined && encoded[0].equals(encoded[1]);
}

const encodings: Record<ValueType, ValueEncoding> = {
  string: {
    wants: 'a well-formed string',
    // A lone surrogate has no UTF-8 form: it would come back as U+FFFD.
    encode: (value) => (typeof value === 'string' && value.isWellFormed() ? Buffer.from(value, 'utf8') : undefined),
    decode: (bytes) => bytes.toString('utf8'),
  },
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
  json: {
    wants: 'a value JSON can hold',
    encode: (value) => {
      const text = stringify(value);
      return text?.isWellFormed() ? Buffer.from(text, 'utf8') : undefined;
    },
    decode: (bytes) => {
      try {
        return JSON.parse(bytes.toString('utf8')) as unknown;
      } catch {
        return undefined;
      }
    },
  },
  buffer: {
    wants: 'a Buffer or Uint8Array',
    encode: (value) =>
      value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : undefined,
    // A copy: what the cipher returned may be a view of a larger pool.
    decode: (bytes) => Buffer.from(bytes),
  },
};

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
