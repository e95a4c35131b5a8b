declare const dataKeyIdBrand: unique symbol;
/** Names a data key: 16 random bytes as 32 lower-case hexadecimal digits. */
export type DataKeyId = string & { readonly [dataKeyIdBrand]: true };

/**
 * The stored form of a cell (docs/ENVELOPE.md), as base64 text (RFC 4648 §4):
 *
 *     magic (3) ‖ format (1) ‖ algorithm (1) ‖ DEK id (16) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
 *
 * The first 21 bytes are 28 characters exactly, so that a cell's data key is known from a prefix of its text.
 */
const magicText = 'nhsm';
const magic = Buffer.from(magicText, 'base64');
const format = 1;
const aes256Gcm = 1;
const fixedBytes = magic.length + 2;
const dataKeyIdBytes = 16;
export const headerCharacters = 28;
export const nonceBytes = 12;
export const tagBytes = 16;

/** The first 28 characters of every cell encrypted under one data key. */
export function formatHeader(dataKeyId: DataKeyId): string {
  return Buffer.concat([magic, Buffer.of(format, aes256Gcm), Buffer.from(dataKeyId, 'hex')]).toString('base64');
}

/** @returns the data key that a cell names, or undefined when the text is no envelope of this format */
export function parseHeader(header: string): DataKeyId | undefined {
  if (header.length !== headerCharacters || !header.startsWith(magicText)) return undefined;
  const bytes = Buffer.from(header, 'base64');
  const isOurs =
    bytes.length === fixedBytes + dataKeyIdBytes &&
    bytes.subarray(0, magic.length).equals(magic) &&
    bytes[magic.length] === format &&
    bytes[magic.length + 1] === aes256Gcm;
  return isOurs ? (bytes.toString('hex', fixedBytes) as DataKeyId) : undefined;
}

/** @param body  nonce ‖ ciphertext ‖ tag */
export function formatEnvelope(header: string, body: Buffer): string {
  return header + body.toString('base64');
}

export interface EnvelopeBody {
  readonly nonce: Buffer;
  readonly ciphertext: Buffer;
  readonly tag: Buffer;
}

/** @returns the parts behind the header, or undefined when they are too short or the text is not their base64 */
export function parseBody(text: string): EnvelopeBody | undefined {
  const encoded = text.slice(headerCharacters);
  const body = Buffer.from(encoded, 'base64');
  // Node's decoder takes other alphabets and skips what is none: there is one text for a body.
  if (body.length < nonceBytes + tagBytes || body.toString('base64') !== encoded) return undefined;
  return {
    nonce: body.subarray(0, nonceBytes),
    ciphertext: body.subarray(nonceBytes, body.length - tagBytes),
    tag: body.subarray(body.length - tagBytes),
  };
}
