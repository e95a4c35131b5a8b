import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { AuditError, fileFault } from '../errors.js';
import {
  isP256,
  isSignedBy,
  maximumCheckpointBytes,
  parseCheckpoint,
  publicKeyText,
  type SignedCheckpoint,
} from './checkpoint.js';

/** What is known off the host, and not from it. */
export interface Anchor {
  /** Pins the key that checkpoints are signed by. */
  readonly publicKey: KeyObject;
  /** The last one that the receiver has. */
  readonly checkpoint?: SignedCheckpoint;
}

/**
 * Reads an anchor: a PEM public key, and after it the last checkpoint that is known elsewhere, as a line of the checkpoint
 * file or of the collector's log (whatever stands before it in the line is passed over).
 * @throws {AuditError} ERR_AUDIT_ANCHOR_INVALID
 */
export async function readAnchor(path: string): Promise<Anchor> {
  let text: string;
  try {
    text = await readFile(path, 'latin1');
  } catch (cause) {
    throw fileFault('ERR_AUDIT_ANCHOR_INVALID', path, 'a PEM public key and a checkpoint', cause);
  }
  try {
    return parseAnchor(text);
  } catch (cause) {
    throw new AuditError('ERR_AUDIT_ANCHOR_INVALID', `${path}: ${(cause as Error).message}`, cause);
  }
}

function parseAnchor(text: string): Anchor {
  const pem = /-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----/.exec(
    text.slice(0, maximumCheckpointBytes),
  )?.[0];
  const publicKey = pem === undefined ? undefined : readKey(pem);
  if (publicKey === undefined) throw new Error('want the PEM of a P-256 public key, got none');
  const line = text.trimEnd().split('\n').at(-1)?.trim() ?? '';
  if (line.startsWith('-----END')) return { publicKey };
  const checkpoint = parseCheckpoint(line.slice(line.indexOf('{"chains":')));
  if (checkpoint === undefined) throw new Error('want a checkpoint in the last line, got none');
  if (checkpoint.checkpoint.publicKey !== publicKeyText(publicKey) || !isSignedBy(checkpoint, publicKey)) {
    throw new Error(`want a checkpoint that this key signed, got number ${checkpoint.checkpoint.number} of another`);
  }
  return { publicKey, checkpoint };
}

function readKey(pem: string): KeyObject | undefined {
  try {
    const key = createPublicKey(pem);
    return isP256(key) ? key : undefined;
  } catch {
    return undefined;
  }
}
