import { createHash } from 'node:crypto';
import { z } from 'zod';
import { keyAlgorithmNames } from '../algorithm/key-algorithm.js';
import { transportAlgorithmNames } from '../algorithm/wrapping-algorithm.js';
import { type KeyId, keyUsages } from '../key/key.js';

const keyId = z
  .string()
  .regex(/^[0-9a-f]{32}$/)
  .transform((id) => id as KeyId);
const hexDigest = z.string().regex(/^[0-9a-f]{64}$/);
const memberName = z.string().min(1).max(64);

/** Bytes with their SHA-256, by which a manifest names them and damage is seen. */
const blob = z
  .strictObject({ bytes: z.base64().max(16_384), sha256: hexDigest })
  .refine(({ bytes, sha256 }) => sha256Of(Buffer.from(bytes, 'base64')) === sha256, 'want bytes of that SHA-256');

/** The key under a one-use AES key (AES-KWP), and that under a recovery public key (RSA-OAEP). */
const recoveryForm = z.strictObject({
  /** Of the recovery public key. */
  fingerprint: hexDigest,
  algorithm: z.enum(transportAlgorithmNames),
  transport: blob,
  wrapped: blob,
});

/**
 * `pending`: being made, not usable. `replicated`: on the members that are named. `sealed`: each of them was shown to hold it
 * and to work with it. At the next start a key that is not sealed is sealed if enough members hold it, and else destroyed.
 */
const keyStates = ['pending', 'replicated', 'sealed'] as const;

export const keyringRecordSchema = z.strictObject({
  version: z.literal(1),
  id: keyId,
  label: z.string().min(1).max(64),
  algorithm: z.enum(keyAlgorithmNames),
  usage: z.enum(keyUsages),
  state: z.enum(keyStates),
  /** How often this record was written: of two copies the older has the lower. */
  generation: z.int().min(1),
  /** DER SubjectPublicKeyInfo of a private key, in base64. */
  spki: z.base64().optional(),
  /** Of a secret key (key/check-value.ts), in base64. */
  checkValue: z.base64().optional(),
  /** The extractable original, until it was exported. */
  original: z.strictObject({ id: keyId, member: memberName }).optional(),
  /** Members that hold it; while it is `pending`, those that may. */
  members: z.array(memberName).max(64),
  recovery: z.array(recoveryForm).max(8),
});

/** What the keyring knows of one key. No key bytes but wrapped ones. */
export type KeyringRecord = Readonly<z.output<typeof keyringRecordSchema>>;
export type RecoveryForm = z.output<typeof recoveryForm>;

export function toBlob(bytes: Buffer): z.output<typeof blob> {
  return { bytes: bytes.toString('base64'), sha256: sha256Of(bytes) };
}

function sha256Of(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
