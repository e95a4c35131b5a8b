import { createHash, createPublicKey, verify } from 'node:crypto';
import { z } from 'zod';
import { DataEncryptionError } from '../errors.js';

const digest = z.string().regex(/^[0-9a-f]{64}$/);

/** What became of one KEK, as the receipt of its destruction says (docs/KEY-LIFECYCLE.md). */
const kekSchema = z.strictObject({
  id: z.string(),
  label: z.string(),
  state: z.enum(['pending', 'destroyed']),
  /** SHA-256 of that receipt. */
  receipt: digest.optional(),
  /** Whether backups are known of: `unknown` where devices back themselves up. */
  backups: z.enum(['listed', 'unknown']),
  /** Backups that could still give the KEK back. */
  restorable: z.array(z.string()).max(10_000),
});

const schema = z.strictObject({
  type: z.literal('nest-hsm data shredding'),
  version: z.literal(1),
  /** `pending` while a member of the fleet or a backup could still give back a KEK that the data keys were under. */
  state: z.enum(['pending', 'shredded']),
  database: z.string(),
  tenant: z.string(),
  operator: z.string(),
  /** When the tombstone was written, and this. */
  begun: z.iso.datetime(),
  issued: z.iso.datetime(),
  /** Data keys that were shredded. */
  dataKeys: z.int().min(0),
  /** Processes that forgot the keys, and those that had been silent for longer than they could use them. */
  processes: z.strictObject({ acknowledged: z.int().min(0), silent: z.int().min(0) }),
  keks: z.array(kekSchema).max(100_000),
  /** SHA-256 of the receipt before this one. */
  previous: digest.optional(),
  /** SHA-256 of the SubjectPublicKeyInfo that verifies this; absent where it is not signed. */
  signer: digest.optional(),
});
export type ShreddingReceipt = Readonly<z.output<typeof schema>>;

export interface SignedShreddingReceipt {
  readonly receipt: ShreddingReceipt;
  /** What is signed, byte for byte. */
  readonly text: string;
  /** DER ECDSA-Sig-Value over SHA-256 of the text, by the key that signs receipts of destruction. Absent until that can be used. */
  readonly signature?: Buffer;
}

export function receiptText(receipt: ShreddingReceipt): string {
  return `${JSON.stringify(receipt, undefined, 2)}\n`;
}

export function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** @throws {DataEncryptionError} ERR_DATA_RECEIPT_INVALID */
export function parseShreddingReceipt(text: string): ShreddingReceipt {
  const parsed = schema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw invalid(`one of the shredding of a tenant: ${z.prettifyError(parsed.error).slice(0, 500)}`);
}

/**
 * Verifies a receipt without any HSM or database.
 * @param publicKey  PEM of the receipt key's public half (`nest-hsm receipt key`), from where it was pinned
 * @throws {DataEncryptionError} ERR_DATA_RECEIPT_INVALID
 */
export function verifyShreddingReceipt(
  text: string | Uint8Array,
  signature: Uint8Array,
  publicKey: string,
): ShreddingReceipt {
  const bytes = Buffer.from(text);
  if (!isSigned(bytes, signature, publicKey))
    throw invalid('it signed by that key, got another text, signature or key');
  return parseShreddingReceipt(bytes.toString('utf8'));
}

function isSigned(bytes: Buffer, signature: Uint8Array, publicKey: string): boolean {
  try {
    const key = createPublicKey(publicKey);
    return key.asymmetricKeyType === 'ec' && verify('sha256', bytes, key, signature);
  } catch {
    return false;
  }
}

function invalid(want: string): DataEncryptionError {
  return new DataEncryptionError('ERR_DATA_RECEIPT_INVALID', `receipt: want ${want}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
