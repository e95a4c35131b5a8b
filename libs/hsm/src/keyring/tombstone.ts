import { z } from 'zod';
import { keyAlgorithmNames } from '../algorithm/key-algorithm.js';
import { keyUsages } from '../key/key.js';
import { keyIdSchema } from './keyring-record.js';

/**
 * That a key was destroyed, or is being destroyed: written before the first member destroys it, and never removed. What carries
 * its id is not given to any member again, whatever backup it is in.
 */
export const tombstoneSchema = z.strictObject({
  version: z.literal(1),
  id: keyIdSchema,
  /** RFC 3339, UTC. */
  destroyed: z.iso.datetime(),
  /** What the keyring knew of it. */
  label: z.string().min(1).max(64).optional(),
  algorithm: z.enum(keyAlgorithmNames).optional(),
  usage: z.enum(keyUsages).optional(),
});
export type Tombstone = Readonly<z.output<typeof tombstoneSchema>>;
