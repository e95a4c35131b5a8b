import { createPrivateKey, generateKeyPairSync, generatePrimeSync, type KeyObject, sign } from 'node:crypto';

/** DER, by hand: hostile requests need what no library writes. */
export function tlv(tag: number, ...content: (Uint8Array | number[])[]): Buffer {
  const body = Buffer.concat(content.map((part) => Buffer.from(part)));
  if (body.length < 0x80) return Buffer.concat([Buffer.of(tag, body.length), body]);
  const length = Buffer.from(
    body.length.toString(16).padStart(body.length > 0xffff ? 6 : body.length > 0xff ? 4 : 2, '0'),
    'hex',
  );
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, body]);
}

export const sequence = (...content: (Uint8Array | number[])[]): Buffer => tlv(0x30, ...content);
export const set = (...content: (Uint8Array | number[])[]): Buffer => tlv(0x31, ...content);
/** An OBJECT IDENTIFIER from its content octets in hexadecimal. */
export const oid = (content: string): Buffer => tlv(0x06, Buffer.from(content, 'hex'));

const octets = {
  commonName: '550403',
  extensionRequest: '2a864886f70d01090e',
  challengePassword: '2a864886f70d010907',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  tlsFeature: '2b06010505070118',
  ecdsaWithSha256: '2a8648ce3d040302',
  ecdsaWithSha1: '2a8648ce3d0401',
  rsaWithSha256: '2a864886f70d01010b',
};

export const dns = (name: string | Uint8Array): Buffer => tlv(0x82, Buffer.from(name));
export const ip = (address: number[]): Buffer => tlv(0x87, address);
export const email = (address: string): Buffer => tlv(0x81, Buffer.from(address));
export const uri = (location: string): Buffer => tlv(0x86, Buffer.from(location));
export const directoryName = (name: Buffer): Buffer => tlv(0xa4, name);

export const commonName = (text: string, tag = 0x0c): Buffer =>
  sequence(set(sequence(oid(octets.commonName), tlv(tag, Buffer.from(text)))));
export const noName = sequence();

export const extension = (type: string, value: Buffer): Buffer => sequence(oid(type), tlv(0x04, value));
export const subjectAltName = (...names: Buffer[]): Buffer => extension(octets.subjectAltName, sequence(...names));
export const caTrue = extension(octets.basicConstraints, sequence(tlv(0x01, [0xff])));
export const mustStaple = extension(octets.tlsFeature, sequence(tlv(0x02, [5])));
export const extensionRequest = (...extensions: Buffer[]): Buffer =>
  sequence(oid(octets.extensionRequest), set(sequence(...extensions)));
export const challengePassword = sequence(oid(octets.challengePassword), set(tlv(0x0c, Buffer.from('secret'))));
export const unknownAttribute = sequence(oid('2b06010401823702010e'), set(tlv(0x0c, Buffer.from('x'))));

export interface CsrParts {
  readonly subject?: Buffer;
  readonly attributes?: Buffer[];
  readonly version?: Buffer;
  readonly key?: { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
  readonly spki?: Buffer;
  readonly signatureAlgorithm?: Buffer;
  /** Null where the scheme hashes by itself. */
  readonly hash?: string | null;
  /** Changes the signature or what is around it. */
  readonly finish?: (info: Buffer, algorithm: Buffer, signature: Buffer) => Buffer;
}

const defaultKey = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ecdsaSha256 = sequence(oid(octets.ecdsaWithSha256));
export const ecdsaSha1 = sequence(oid(octets.ecdsaWithSha1));
export const rsaSha256 = sequence(oid(octets.rsaWithSha256), [0x05, 0x00]);

/** DER of a certification request: a sound one for www.example.test, but for the parts given. */
export function buildCsr(parts: CsrParts = {}): Buffer {
  const {
    key = defaultKey,
    subject = commonName('www.example.test'),
    attributes = [],
    version = tlv(0x02, [0]),
    hash = 'sha256',
  } = parts;
  const spki = parts.spki ?? key.publicKey.export({ format: 'der', type: 'spki' });
  const info = sequence(version, subject, spki, tlv(0xa0, ...attributes));
  const algorithm = parts.signatureAlgorithm ?? (key.privateKey.asymmetricKeyType === 'rsa' ? rsaSha256 : ecdsaSha256);
  const signature = sign(hash, info, key.privateKey);
  const finish = parts.finish ?? ((i, a, s) => sequence(i, a, tlv(0x03, [0], s)));
  return finish(info, algorithm, signature);
}

export function toPem(der: Buffer, label = 'CERTIFICATE REQUEST'): string {
  return `-----BEGIN ${label}-----\n${der.toString('base64').replace(/(.{64})/g, '$1\n')}\n-----END ${label}-----\n`;
}

export function rsaKey(modulusLength: number, publicExponent = 65537): { privateKey: KeyObject; publicKey: KeyObject } {
  return generateKeyPairSync('rsa', { modulusLength, publicExponent });
}

export function ecKey(namedCurve: string): { privateKey: KeyObject; publicKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve });
}

/**
 * A 2048-bit RSA key whose primes have the form of CVE-2017-15361: k·M + (65537^a mod M), M the product of the primes up to
 * 167.
 */
export function rocaKey(): { privateKey: KeyObject; modulus: bigint } {
  const primorial = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167]
    .map(BigInt)
    .reduce((product, prime) => product * prime, 1n); // prettier-ignore
  const prime = (exponent: bigint): bigint =>
    generatePrimeSync(1024, { add: primorial, rem: power(65537n, exponent, primorial), bigint: true });
  const [p, q] = [prime(12345n), prime(54321n)];
  const [modulus, e] = [p * q, 65537n];
  const d = inverse(e, (p - 1n) * (q - 1n));
  const jwk = { kty: 'RSA', n: modulus, e, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) };
  const key = Object.fromEntries(
    Object.entries(jwk).map(([name, value]) => [name, typeof value === 'string' ? value : base64url(value)]),
  );
  return { privateKey: createPrivateKey({ key, format: 'jwk' }), modulus };
}

function base64url(value: bigint): string {
  const hexadecimal = value.toString(16);
  return Buffer.from(hexadecimal.padStart(hexadecimal.length + (hexadecimal.length % 2), '0'), 'hex').toString(
    'base64url',
  );
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (let [square, rest] = [base % modulus, exponent]; rest > 0n; rest >>= 1n, square = (square * square) % modulus) {
    if (rest & 1n) result = (result * square) % modulus;
  }
  return result;
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [old, current, oldFactor, factor] = [value % modulus, modulus, 1n, 0n];
  while (current !== 0n) {
    const quotient = old / current;
    [old, current] = [current, old - quotient * current];
    [oldFactor, factor] = [factor, oldFactor - quotient * factor];
  }
  return ((oldFactor % modulus) + modulus) % modulus;
}
