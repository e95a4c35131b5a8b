import { randomBytes } from 'node:crypto';
import type { IndexSecret } from './cells/cells.js';
import type { DataKeyId } from './envelope.js';
import { DataEncryptionError } from './errors.js';
import { cellTypes, type ValueType } from './cell-type.js';
import { encodeValue, isText, type Plaintext } from './value-encoding.js';

/**
 * What counts as the same text when it is searched. Each is pure and never changes: another way to normalize gets another name.
 *
 * exact: the same code points · nfc: Unicode normalization form C · nfkc-casefold: also the same whatever the case, width or
 * ligature · email: as nfkc-casefold, without white space around it · digits: only its ASCII digits
 */
export const normalizations = ['exact', 'nfc', 'nfkc-casefold', 'email', 'digits'] as const;
export type Normalization = (typeof normalizations)[number];

/** A key of a blind index that is loaded. */
export interface IndexKey {
  readonly id: DataKeyId;
  readonly columnId: string;
  /** The first 8 characters of its texts, see `indexKeyTag`. */
  readonly tag: string;
  /** Derived from the stored key. */
  readonly secret: IndexSecret;
  /** The one that is written with; the others are only searched with. */
  readonly isActive: boolean;
}

/**
 * The text of an index: 6 bytes of its key's id ‖ 18 bytes of the MAC, base64. Both are multiples of 3, so that each has characters of
 * its own.
 */
export const indexCharacters = 32;
const keyTagBytes = 6;
export const indexMacBytes = 18;

export function indexKeyTag(id: DataKeyId): string {
  return Buffer.from(id, 'hex').toString('base64', 0, keyTagBytes);
}

/** The blind index of one column: equal values have equal texts, and without the key nothing else can be told from a text. */
export class BlindIndex {
  constructor(
    readonly columnId: string,
    readonly type: ValueType,
    readonly normalization: Normalization,
    /** `Entity.property`, for errors. */
    readonly name: string,
  ) {}

  /** Bound to its keys: texts made by another normalization would not be found. */
  get algorithm(): string {
    return `hmac-sha-256/${this.normalization}`;
  }

  /**
   * The text that is stored for a value and searched for it (docs/ENVELOPE.md).
   * @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID when the value is not of the column's type
   */
  text(value: unknown, key: IndexKey): string {
    return key.secret.text(cellTypes[this.type], this.#canonical(value));
  }

  /**
   * The text beside a null that has a cell: random, so that it shows no more than that of any value which occurs once, and no search finds it.
   * @param stored  what the row has; kept where it is of this key
   */
  textOfNull(key: IndexKey, stored?: unknown): string {
    const isOfKey = typeof stored === 'string' && stored.length === indexCharacters && stored.startsWith(key.tag);
    return isOfKey ? stored : key.tag + randomBytes(indexMacBytes).toString('base64');
  }

  #canonical(value: unknown): Plaintext {
    const plaintext = encodeValue(this.type, oneNumber(value), this.name);
    return typeof plaintext === 'string' ? normalize[this.normalization](plaintext) : plaintext;
  }
}

/** Why a column cannot be searched as declared, or undefined. */
export function searchFault(type: ValueType, normalization: Normalization): string | undefined {
  // Few values: who sees the index sees which rows are alike, and guesses the rest by how many there are.
  if (type === 'boolean') return 'want a searchable column of many values, got a boolean: its index would show it';
  if (type === 'json') return 'want a searchable column of simple values, got json: store what is searched beside it';
  if (!normalizations.includes(normalization))
    return `want a normalization of ${normalizations.join(', ')}, got another`;
  if (!isText(type) && normalization !== 'exact') return `want normalization exact for ${type}, got ${normalization}`;
  return undefined;
}

/** 0 and -0 are equal, and a NaN has many encodings. */
function oneNumber(value: unknown): unknown {
  if (value === 0) return 0;
  return Number.isNaN(value) ? Number.NaN : value;
}

const normalize: Record<Normalization, (text: string) => string> = {
  exact: (text) => text,
  nfc: (text) => text.normalize('NFC'),
  'nfkc-casefold': casefold,
  email: (text) => casefold(text.trim()),
  digits: (text) => text.normalize('NFKC').replaceAll(/[^0-9]/g, ''),
};

/** By way of upper case, which makes one of ẞ, ß and SS, of ſ and s; lower case has two sigmas of which one is kept. */
function casefold(text: string): string {
  const lower = text.normalize('NFKC').toLowerCase().toUpperCase().toLowerCase();
  return lower.replaceAll('ς', 'σ').normalize('NFKC');
}

/** What went wrong when a key was made for another normalization than the column has now. */
export function otherNormalization(index: BlindIndex, algorithm: string): DataEncryptionError {
  return new DataEncryptionError(
    'ERR_DATA_MAPPING_INVALID',
    `${index.name}: want the normalization its index was made with, ${algorithm.split('/')[1]}, got ${index.normalization}; ` +
      'the way out: put it back, or search a new property',
    { column: index.name },
  );
}
