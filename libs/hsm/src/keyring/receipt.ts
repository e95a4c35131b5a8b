/**
 * The proof that a key was destroyed: a JSON text that says what, when, by whom, and what was found on each member afterwards,
 * with an ECDSA P-256 signature over its bytes by a key of the HSMs, which anybody can verify:
 *
 *   openssl dgst -sha256 -verify receipt-key.pem -signature receipt.sig receipt.json
 *
 * It says `pending` for as long as a member may still have the key, or a backup could give it back.
 */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { z } from 'zod';
import { keyAlgorithmNames } from '../algorithm/key-algorithm.js';
import { HsmError } from '../errors.js';
import { keyUsages } from '../key/key.js';
import { hexDigest, keyIdSchema } from './keyring-record.js';

/** The key pair that signs receipts, made when the first is. Its public half is to be pinned where no holder of the PIN can write. */
export const receiptKeyLabel = 'nest-hsm-receipt';

/**
 * `destroyed`: it was looked for, and nothing is left. `present`: something is. `unreachable`: it could not be asked, or not to
 * the end. What is there of the key is destroyed when that can be done.
 */
const memberOutcome = z.strictObject({
  member: z.string().min(1).max(64),
  token: z.strictObject({ label: z.string(), serial: z.string() }).optional(),
  state: z.enum(['destroyed', 'present', 'unreachable']),
  /** Objects of the key that it had, and has now: those of its id, and of a key pair those with its public key. */
  found: z.int().min(0),
  left: z.int().min(0).optional(),
  /** When it was last looked for. */
  lookedFor: z.iso.datetime().optional(),
  /** Why it is not destroyed, e.g. ERR_HSM_TIMEOUT. */
  reason: z.string().optional(),
});

const backupsSchema = z.strictObject({
  /** `listed`: those that are known of. `unknown`: nobody here knows of any, such as the devices' own. */
  knowledge: z.enum(['listed', 'unknown']),
  /** Each that could still give the key back to whoever has the recovery token. */
  restorable: z.array(z.string().max(200)).max(10_000),
  remark: z.string(),
});

export const receiptSchema = z.strictObject({
  type: z.literal('nest-hsm key destruction'),
  version: z.literal(1),
  state: z.enum(['pending', 'destroyed']),
  key: z.strictObject({
    id: keyIdSchema,
    label: z.string(),
    algorithm: z.enum(keyAlgorithmNames),
    usage: z.enum(keyUsages),
    /** SHA-256 of the SubjectPublicKeyInfo of a key pair. */
    fingerprint: hexDigest.optional(),
  }),
  fleet: z.string(),
  by: z.strictObject({ client: z.string(), operator: z.string().optional() }),
  /** From when on the key could not be used any more, and when this was written. */
  intended: z.iso.datetime(),
  issued: z.iso.datetime(),
  members: z.array(memberOutcome).max(64),
  backups: backupsSchema,
  remarks: z.array(z.string()),
  /** SHA-256 of the receipt before this one, which said `pending`. */
  previous: hexDigest.optional(),
  /** SHA-256 of the SubjectPublicKeyInfo that verifies this. */
  signer: hexDigest.optional(),
});

export type Receipt = Readonly<z.output<typeof receiptSchema>>;
export type MemberOutcome = Readonly<z.output<typeof memberOutcome>>;
export type BackupKnowledge = Readonly<z.output<typeof backupsSchema>>;

/** A receipt, and what proves it. */
export interface SignedReceipt {
  readonly receipt: Receipt;
  /** What is signed, byte for byte: the content of `receipt.json`. */
  readonly text: string;
  /** DER ECDSA-Sig-Value (RFC 3279 §2.2.3) over SHA-256 of the text: `receipt.sig`. Absent until the receipt key could be used. */
  readonly signature?: Buffer;
}

export function receiptText(receipt: Receipt): string {
  return `${JSON.stringify(receipt, undefined, 2)}\n`;
}

export function receiptDigest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** @throws {HsmError} ERR_HSM_RECEIPT_INVALID */
export function parseReceipt(text: string): Receipt {
  const parsed = receiptSchema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  const faults = z.prettifyError(parsed.error).slice(0, 500);
  throw new HsmError('ERR_HSM_RECEIPT_INVALID', `receipt: want one of a key's destruction: ${faults}`);
}

/**
 * Verifies a receipt without any HSM.
 * @param publicKey  PEM of the receipt key's public half, from where it was pinned
 * @returns what it says
 * @throws {HsmError} ERR_HSM_RECEIPT_INVALID, or ERR_HSM_ARGUMENT_INVALID when the key is none
 */
export function verifyReceipt(text: string | Uint8Array, signature: Uint8Array, publicKey: string): Receipt {
  const bytes = Buffer.from(text);
  if (!verify('sha256', bytes, readKey(publicKey), signature)) {
    throw new HsmError(
      'ERR_HSM_RECEIPT_INVALID',
      'receipt: want it signed by that key, got another text, signature or key',
    );
  }
  return parseReceipt(bytes.toString('utf8'));
}

function readKey(pem: string): ReturnType<typeof createPublicKey> {
  try {
    const key = createPublicKey(pem);
    if (key.asymmetricKeyType === 'ec' && !pem.includes('PRIVATE')) return key;
  } catch {
    // Said below.
  }
  throw new HsmError('ERR_HSM_ARGUMENT_INVALID', 'receipt key: want the PEM of an EC public key');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
