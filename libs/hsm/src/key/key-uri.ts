import { keyAlgorithms } from '../algorithm/key-algorithm.js';
import { HsmError } from '../errors.js';
import type { KeyDescription, KeyId } from './key.js';

/** What a PKCS#11 URI says of a key and the token it is on (RFC 7512 §2.3). Absent parts match anything. */
export interface KeyUri {
  readonly token?: string;
  readonly manufacturer?: string;
  readonly serial?: string;
  readonly model?: string;
  /** CKA_LABEL. */
  readonly object?: string;
  readonly id?: KeyId;
  readonly type?: KeyUriType;
}

/** A key pair is named by its private half. */
export const keyUriTypes = ['private', 'secret-key'] as const;
export type KeyUriType = (typeof keyUriTypes)[number];

const scheme = 'pkcs11:';
const textAttributes = ['token', 'manufacturer', 'serial', 'model', 'object'] as const;

export function keyUriType(key: Pick<KeyDescription, 'algorithm'>): KeyUriType {
  const { family } = keyAlgorithms[key.algorithm];
  return family === 'aes' || family === 'hmac' ? 'secret-key' : 'private';
}

/** Prints `pkcs11:token=…;object=…;id=%…;type=…`, each part only where it is given. */
export function formatKeyUri(uri: KeyUri): string {
  const parts: string[] = [];
  for (const name of textAttributes) {
    const value = uri[name];
    // By way of bytes: encodeURIComponent throws at half a surrogate pair. What it leaves alone is in pk11-pchar (RFC 7512 §2.3).
    if (value !== undefined) parts.push(`${name}=${encodeURIComponent(Buffer.from(value).toString())}`);
  }
  // The whole value is percent-encoded, as it is binary (RFC 7512 §2.3).
  if (uri.id !== undefined) parts.push(`id=${uri.id.replace(/../g, (byte) => `%${byte.toUpperCase()}`)}`);
  if (uri.type !== undefined) parts.push(`type=${uri.type}`);
  return scheme + parts.join(';');
}

/**
 * Parses the path of a PKCS#11 URI. A path attribute that is unknown or cannot be compared (`slot-id`, `library-version`, a
 * vendor's) is refused, since a key that is found without it might be another one. Query attributes (PIN and module) belong
 * to the configuration and are ignored.
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID, never quoting the URI, whose query may hold a PIN
 */
export function parseKeyUri(text: string): KeyUri {
  if (text.slice(0, scheme.length).toLowerCase() !== scheme) throw invalid('want pkcs11:…');
  const [path] = text.slice(scheme.length).split('?', 1);
  const values = new Map<string, string>();
  for (const part of path === '' ? [] : path.split(';')) {
    const [, name, value] = /^([A-Za-z0-9_-]+)=([A-Za-z0-9\-._~:[\]@!$'()*+,=&%]*)$/.exec(part) ?? [];
    if (name === undefined) throw invalid('want attributes name=value, separated by semicolons');
    if (values.has(name)) throw invalid(`want ${name} once`);
    values.set(name, value);
  }
  const uri: { -readonly [Name in keyof KeyUri]: KeyUri[Name] } = {};
  for (const [name, value] of values) {
    if (isTextAttribute(name)) uri[name] = decodeText(name, value);
    else if (name === 'id') uri.id = decodeId(value);
    else if (name === 'type') uri.type = decodeType(value);
    else throw invalid(`want token, manufacturer, serial, model, object, id and type only, got ${name.slice(0, 40)}`);
  }
  return uri;
}

function isTextAttribute(name: string): name is (typeof textAttributes)[number] {
  return (textAttributes as readonly string[]).includes(name);
}

function decodeText(name: string, value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    throw invalid(`${name}: want percent-encoded UTF-8`);
  }
}

/** Any byte may be written as itself or percent-encoded. */
function decodeId(value: string): KeyId {
  const hex = value.replace(/%([0-9A-Fa-f]{2})|[^%]/g, (part, byte: string | undefined) =>
    byte === undefined ? part.charCodeAt(0).toString(16).padStart(2, '0') : byte.toLowerCase(),
  );
  if (/^[0-9a-f]{32}$/.test(hex)) return hex as KeyId;
  throw invalid('id: want 16 percent-encoded bytes');
}

function decodeType(value: string): KeyUriType {
  const type = keyUriTypes.find((each) => each === value);
  if (type !== undefined) return type;
  throw invalid(`type: want ${keyUriTypes.join(' or ')}`);
}

function invalid(fault: string): HsmError {
  return new HsmError('ERR_HSM_ARGUMENT_INVALID', `PKCS#11 URI: ${fault}`);
}
