import { z } from 'zod';
import { keyAlgorithmNames, keyAlgorithms } from '../../algorithm/key-algorithm.js';
import { transportAlgorithmNames } from '../../algorithm/wrapping-algorithm.js';
import { keyUsages } from '../../key/key.js';
import { hexDigest, keyIdSchema, type KeyringRecord, maximumForms } from '../keyring-record.js';
import { tombstoneSchema } from '../tombstone.js';

const maximumKeys = 10_000;
const maximumTombstones = 100_000;
const label = z.string().min(1).max(64);
const kind = { id: keyIdSchema, label, algorithm: z.enum(keyAlgorithmNames) };

/** A recovery form: the blobs are in the file, and only those of these digests are taken. */
const form = z.strictObject({
  fingerprint: hexDigest,
  algorithm: z.enum(transportAlgorithmNames),
  transport: hexDigest,
  wrapped: hexDigest,
});

const backedUpKey = z
  .strictObject({
    ...kind,
    class: z.enum(['private', 'secret']),
    usage: z.enum(keyUsages),
    generation: z.int().min(1),
    spki: z.base64().max(2_048).optional(),
    checkValue: z.base64().max(2_048).optional(),
    recovery: z.array(form).min(1).max(maximumForms),
  })
  .refine((key) => key.class === classOf(key), 'want the class of its algorithm')
  .refine((key) => (key.class === 'private') === (key.spki !== undefined), 'want an spki of a private key only')
  .refine(
    (key) => (key.class === 'secret') === (key.checkValue !== undefined),
    'want a check value of a secret key only',
  );

/** What a backup says of itself; its bytes are what is signed. */
export const manifestSchema = z.strictObject({
  format: z.literal('nest-hsm backup'),
  version: z.literal(1),
  fleet: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/),
  /** One more than the backup before it, of the same keyring. */
  number: z.int().min(1).max(Number.MAX_SAFE_INTEGER),
  created: z.iso.datetime(),
  keys: z.array(backedUpKey).max(maximumKeys).refine(isDistinct, 'want each key once'),
  /** Keys destroyed until then, which no backup gives back. */
  tombstones: z.array(tombstoneSchema).max(maximumTombstones),
  /** Keys of the fleet that are not in the backup. */
  absent: z.array(z.strictObject({ ...kind, why: z.string().max(200) })).max(maximumKeys),
});
export type Manifest = Readonly<z.output<typeof manifestSchema>>;
export type BackedUpKey = Manifest['keys'][number];
export type AbsentKey = Manifest['absent'][number];

export function toManifestKey({
  id,
  label,
  algorithm,
  usage,
  generation,
  spki,
  checkValue,
  recovery,
}: KeyringRecord): BackedUpKey {
  const forms = recovery.map(({ transport, wrapped, ...terms }) => {
    return { ...terms, transport: transport.sha256, wrapped: wrapped.sha256 };
  });
  return { id, label, class: classOf({ algorithm }), algorithm, usage, generation, spki, checkValue, recovery: forms };
}

/** @param blob  the bytes of a digest, in base64 */
export function toRecord({ class: _, recovery, ...key }: BackedUpKey, blob: (sha256: string) => string): KeyringRecord {
  const forms = recovery.map(({ transport, wrapped, ...terms }) => ({
    ...terms,
    transport: { bytes: blob(transport), sha256: transport },
    wrapped: { bytes: blob(wrapped), sha256: wrapped },
  }));
  return { version: 1, ...key, state: 'sealed', members: [], recovery: forms };
}

/** The digests of all blobs, in the order in which the file has them. */
export function blobDigests(keys: readonly BackedUpKey[]): string[] {
  return keys.flatMap(({ recovery }) => recovery.flatMap(({ transport, wrapped }) => [transport, wrapped]));
}

function classOf({ algorithm }: Pick<KeyringRecord, 'algorithm'>): 'private' | 'secret' {
  return 'keyBytes' in keyAlgorithms[algorithm] ? 'secret' : 'private';
}

function isDistinct(keys: readonly { readonly id: string }[]): boolean {
  return new Set(keys.map(({ id }) => id)).size === keys.length;
}
