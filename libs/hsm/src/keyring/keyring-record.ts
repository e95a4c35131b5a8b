import { createHash } from 'node:crypto';
import { z } from 'zod';
import { keyAlgorithmNames } from '../algorithm/key-algorithm.js';
import { transportAlgorithmNames } from '../algorithm/wrapping-algorithm.js';
import { type KeyId, keyUsages } from '../key/key.js';

export const keyIdSchema = z
  .string()
  .regex(/^[0-9a-f]{32}$/)
  .transform((id) => id as KeyId);
export const hexDigest = z.string().regex(/^[0-9a-f]{64}$/);
/** Of one key: as many recovery keys as a configuration may have. */
export const maximumForms = 8;

const memberName = z.string().min(1).max(64);

/** Bytes with their SHA-256, by which a manifest names them and damage is seen. */
const blobSchema = z
  .strictObject({ bytes: z.base64().max(16_384), sha256: hexDigest })
  .refine(({ bytes, sha256 }) => sha256Of(Buffer.from(bytes, 'base64')) === sha256, 'want bytes of that SHA-256');

/** The key under a one-use AES key (AES-KWP), and that under a recovery public key (RSA-OAEP). */
const recoveryFormSchema = z.strictObject({
  /** Of the recovery public key. */
  fingerprint: hexDigest,
  algorithm: z.enum(transportAlgorithmNames),
  transport: blobSchema,
  wrapped: blobSchema,
});

/**
 * `pending`: being made, not usable. `replicated`: on the members that are named. `sealed`: each of them was shown to hold it
 * and to work with it. At the next start a key that is not sealed is sealed if enough members hold it, and else destroyed.
 */
const keyStates = ['pending', 'replicated', 'sealed'] as const;

export const keyringRecordSchema = z.strictObject({
  version: z.literal(1),
  id: keyIdSchema,
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
  original: z.strictObject({ id: keyIdSchema, member: memberName }).optional(),
  /** Members that hold it; while it is `pending`, those that may. */
  members: z.array(memberName).max(64),
  /** Members that are being given the sealed key and were not yet shown to hold it: what they have of it is theirs or destroyed. */
  filling: z.array(memberName).max(64).optional(),
  recovery: z.array(recoveryFormSchema).max(maximumForms),
});

/** What the keyring knows of one key. No key bytes but wrapped ones. */
export type KeyringRecord = Readonly<z.output<typeof keyringRecordSchema>>;
export type RecoveryForm = z.output<typeof recoveryFormSchema>;

export function toBlob(bytes: Buffer): z.output<typeof blobSchema> {
  return { bytes: bytes.toString('base64'), sha256: sha256Of(bytes) };
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
