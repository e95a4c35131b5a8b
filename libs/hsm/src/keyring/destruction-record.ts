import { z } from 'zod';
import { keyAlgorithmNames } from '../algorithm/key-algorithm.js';
import { keyUsages } from '../key/key.js';
import { keyIdSchema } from './keyring-record.js';
import { type MemberOutcome, parseReceipt, receiptSchema, type SignedReceipt } from './receipt.js';

/**
 * That a key is to be destroyed, and how far that is: written before the first member is asked, so that whatever ends this
 * process, another goes on. The key cannot be used from then on.
 */
export const destructionRecordSchema = z.strictObject({
  version: z.literal(1),
  id: keyIdSchema,
  label: z.string(),
  algorithm: z.enum(keyAlgorithmNames),
  usage: z.enum(keyUsages),
  /** DER SubjectPublicKeyInfo of a key pair, in base64. */
  spki: z.base64().optional(),
  by: receiptSchema.shape.by,
  intended: z.iso.datetime(),
  /** Every member that has it, had it, or may have it. */
  members: receiptSchema.shape.members,
  /** In their order; each but the first names the one before it. */
  receipts: z.array(z.strictObject({ text: z.string().max(64 << 10), signature: z.base64().optional() })).max(1_000),
});
export type DestructionRecord = Readonly<z.output<typeof destructionRecordSchema>>;

/** Each member that is not done yet, by its name. */
export function unfinished({ members }: DestructionRecord): readonly string[] {
  return members.filter(({ state }) => state !== 'destroyed').map(({ member }) => member);
}

/** What was seen now, beside what was seen before: who cannot be asked has what it had, and what was found is not forgotten. */
export function merged(known: readonly MemberOutcome[], seen: readonly MemberOutcome[]): MemberOutcome[] {
  const outcomes = new Map(known.map((outcome) => [outcome.member, outcome]));
  for (const outcome of seen) {
    const before = outcomes.get(outcome.member);
    if (before?.state === 'destroyed' && outcome.state === 'unreachable') continue;
    outcomes.set(outcome.member, { ...outcome, found: Math.max(outcome.found, before?.found ?? 0) });
  }
  return [...outcomes.values()];
}

export function lastReceipt({ receipts }: DestructionRecord): SignedReceipt | undefined {
  return receipts.map(signedReceipt).at(-1);
}

export function signedReceipt({ text, signature }: DestructionRecord['receipts'][number]): SignedReceipt {
  const receipt = parseReceipt(text);
  return signature === undefined ? { receipt, text } : { receipt, text, signature: Buffer.from(signature, 'base64') };
}
