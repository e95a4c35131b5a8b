/**
 * A backup is a text file, so that it can be checked with what every system has (docs/KEYS.md):
 *
 *   1  nest-hsm backup 1
 *   2  the public key that signed it (DER SubjectPublicKeyInfo, base64)
 *   3  its signature of line 4 without its line break (ECDSA P-256 with SHA-256, DER, base64)
 *   4  the manifest (JSON)
 *   5… the blobs in the order of the manifest (base64)
 *
 * Nothing of it is interpreted before the signature was found to be of the key that is pinned outside the file.
 */
import { createPublicKey, type KeyObject, timingSafeEqual, verify } from 'node:crypto';
import { z } from 'zod';
import { fingerprint } from '../../algorithm/encoding-public-key.js';
import { HsmError } from '../../errors.js';
import { type KeyringRecord, sha256Of } from '../keyring-record.js';
import { blobDigests, type Manifest, manifestSchema, toRecord } from './manifest.js';

export const maximumBackupBytes = 128 << 20;

const heading = 'nest-hsm backup 1';
const headLines = 4;
/** A P-256 SubjectPublicKeyInfo and a signature are 91 and at most 72 bytes. */
const maximumHeadBytes = 256;
/** An RSA-4096 key in PKCS #8 and base64. */
const maximumBlobBytes = 16_384;

/** A backup that is whole and signed by the key that was pinned. */
export interface VerifiedBackup {
  readonly manifest: Manifest;
  /** What it holds, as a keyring would have it, on no member. */
  readonly records: readonly KeyringRecord[];
  /** SHA-256 of the whole file, hexadecimal. */
  readonly sha256: string;
}

export function encodeBackup(signer: Buffer, signature: Buffer, manifest: Buffer, blobs: readonly string[]): Buffer {
  const head = [heading, signer.toString('base64'), signature.toString('base64'), manifest.toString('utf8')];
  return Buffer.from([...head, ...blobs].map((line) => `${line}\n`).join(''));
}

/**
 * @param signer  SHA-256 of the public key that is to have signed it, hexadecimal
 * @throws {HsmError} ERR_HSM_BACKUP_INVALID
 */
export function decodeBackup(bytes: Buffer, signer: string): VerifiedBackup {
  if (bytes.length > maximumBackupBytes) throw invalid(`want at most ${maximumBackupBytes} bytes, got ${bytes.length}`);
  if (bytes.at(-1) !== lineFeed) throw invalid('want a line break at its end: is it truncated?');
  const lines = linesOf(bytes);
  const [first, second, third, manifestBytes] = lines;
  if (lines.length < headLines || first.toString('latin1') !== heading) throw invalid(`want "${heading}" in line 1`);
  requireSigned(manifestBytes, readHead(third, 3), pinned(readHead(second, 2), signer));

  const manifest = readManifest(manifestBytes);
  const digests = blobDigests(manifest.keys);
  const blobs = lines.slice(headLines);
  if (blobs.length !== digests.length) throw invalid(`want ${digests.length} blobs, got ${blobs.length}`);
  const bySha256 = new Map<string, string>();
  for (const [index, digest] of digests.entries()) {
    const line = headLines + index + 1;
    const blob = base64(blobs[index], maximumBlobBytes, line);
    if (sha256Of(blob) !== digest) throw invalid(`line ${line}: want the blob of the manifest, got another`);
    bySha256.set(digest, blob.toString('base64'));
  }
  const records = manifest.keys.map((key) => toRecord(key, (digest) => bySha256.get(digest) as string));
  return { manifest, records, sha256: sha256Of(bytes) };
}

function pinned(spki: Buffer, signer: string): KeyObject {
  const [got, want] = [fingerprint(spki), signer].map((text) => Buffer.from(text, 'hex'));
  if (got.length !== want.length || !timingSafeEqual(got, want)) {
    throw invalid(`want it signed by the key of fingerprint ${signer}, got ${got.toString('hex')}`);
  }
  try {
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  } catch {
    // Said below.
  }
  throw invalid('line 2: want a P-256 public key');
}

function requireSigned(manifest: Buffer, signature: Buffer, key: KeyObject): void {
  if (!verify('sha256', manifest, key, signature)) throw invalid('the signature is not of this manifest');
}

function readManifest(bytes: Buffer): Manifest {
  let content: unknown;
  try {
    content = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw invalid('line 4: want JSON');
  }
  const parsed = manifestSchema.safeParse(content);
  if (parsed.success) return Object.freeze(parsed.data);
  throw invalid(`manifest: ${z.prettifyError(parsed.error).slice(0, 500)}`);
}

function readHead(line: Buffer, number: number): Buffer {
  return base64(line, maximumHeadBytes, number);
}

function base64(line: Buffer, maximumBytes: number, number: number): Buffer {
  const text = line.toString('latin1');
  const decoded = line.length <= maximumBytes ? Buffer.from(text, 'base64') : undefined;
  if (decoded !== undefined && decoded.length > 0 && decoded.toString('base64') === text) return decoded;
  throw invalid(`line ${number}: want base64 of at most ${maximumBytes} characters`);
}

const lineFeed = 0x0a;

/** Each without its line break. */
function linesOf(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(lineFeed, start);
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return lines;
}

function invalid(fault: string): HsmError {
  return new HsmError('ERR_HSM_BACKUP_INVALID', `backup: ${fault}`);
}
