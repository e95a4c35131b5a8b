import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto';
import { z } from 'zod';

/** Of the largest trail: 64 chains for each of 32 members. */
export const maximumCheckpointBytes = 1 << 20;

const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);

const chainHead = z
  .strictObject({
    /** SHA-256 of the line of the chain's last record, without its newline. */
    hash: sha256Hex,
    /** The chain's random id. */
    id: z.string().regex(/^[0-9a-f]{32}$/),
    /** `MEMBER.SLOT`. */
    name: z.string().regex(/^[\x21-\x7e]{1,64}$/),
    /** Where that line begins in its segment. */
    offset: z.int().min(0),
    /** The segment's file name. */
    segment: z.string().regex(/^[\x21-\x7e]{1,128}$/),
    /** Of that record. */
    seq: z.int().min(1),
  })
  .readonly();
/** How far a chain went when a checkpoint was made. */
export type ChainHead = z.output<typeof chainHead>;

/** The name of a trail, so that one host's checkpoints are not taken for another's. */
export const trailNameSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);

// Fields in the order of RFC 8785 §3.2.3, in which zod gives them back.
const checkpointSchema = z
  .strictObject({
    /** In the order of their names. */
    chains: z.array(chainHead).readonly(),
    /** 1 for the first, then without holes. */
    number: z.int().min(1),
    /** SHA-256 of the previous checkpoint's text; 64 zeros for the first. */
    previous: sha256Hex,
    /** DER SubjectPublicKeyInfo of the key that signs, in base64. It proves nothing by itself: pin it elsewhere. */
    publicKey: z.base64(),
    /** RFC 3339, UTC, milliseconds. */
    time: z.iso.datetime({ precision: 3 }),
    trail: trailNameSchema,
    /** What this key signs nothing else as. */
    type: z.literal('nest-hsm-audit-checkpoint/1'),
  })
  .readonly();
/** What is known of every chain of a trail at one moment. */
export type Checkpoint = z.output<typeof checkpointSchema>;

/** A checkpoint, and the exact text that its signature is over. */
export interface SignedCheckpoint {
  readonly checkpoint: Checkpoint;
  /** Canonical JSON (RFC 8785), ASCII without spaces. */
  readonly text: string;
  /** ECDSA P-256 over SHA-256 of the text, DER. */
  readonly signature: Buffer;
}

export const noPrevious = '0'.repeat(64);

/** @returns the text to sign: canonical JSON (RFC 8785), since all names are in order, all numbers integers, all strings ASCII */
export function checkpointText(checkpoint: Checkpoint): string {
  return JSON.stringify(checkpointSchema.parse(checkpoint));
}

/** By which the next checkpoint names this one. @returns SHA-256 in hexadecimal */
export function checkpointHash({ text }: Pick<SignedCheckpoint, 'text'>): string {
  return hash('sha256', text);
}

/** @returns one line without its newline: the text, a space, the signature in base64 */
export function formatCheckpoint({ text, signature }: SignedCheckpoint): string {
  return `${text} ${signature.toString('base64')}`;
}

/** @param line  without its newline @returns undefined when it is no checkpoint; its signature is not looked at */
export function parseCheckpoint(line: string): SignedCheckpoint | undefined {
  const [, text, signature] = /^(\{[\x21-\x7e]+\}) ([A-Za-z0-9+/]{32,200}={0,2})$/.exec(line) ?? [];
  if (text === undefined || line.length > maximumCheckpointBytes) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = checkpointSchema.safeParse(value);
  if (!parsed.success || JSON.stringify(parsed.data) !== text) return undefined;
  return { checkpoint: parsed.data, text, signature: Buffer.from(signature, 'base64') };
}

/** Whether that key signed it (FIPS 186-5 §6.4). */
export function isSignedBy({ text, signature }: SignedCheckpoint, publicKey: KeyObject): boolean {
  return verify('sha256', Buffer.from(text), publicKey, signature);
}

/** The key that a checkpoint says it is signed by. @returns undefined when it is no P-256 key */
export function statedKey({ checkpoint }: SignedCheckpoint): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(checkpoint.publicKey, 'base64'), format: 'der', type: 'spki' });
    return isP256(key) ? key : undefined;
  } catch {
    return undefined;
  }
}

export function isP256({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  return asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

export function publicKeyText(publicKey: KeyObject): string {
  return publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
}
