import { z } from 'zod';
import {
  largestFoldSeconds,
  largestSegmentBytes,
  smallestFoldSeconds,
  smallestSegmentBytes,
  useOperations,
} from './audit-settings.js';

/** As `matchesLabel` takes it. */
const labelPattern = z.string().min(1);

/** The trail that the agents of a fleet's members write (docs/AUDIT.md). */
export const auditConfigSchema = z
  .strictObject({
    /** Made 0700. One for all members is right: each agent writes files of its own. */
    directory: z.string().min(1),
    /** A segment that has grown to this is followed by another. */
    maximumSegmentBytes: z
      .int()
      .min(smallestSegmentBytes)
      .max(largestSegmentBytes)
      .default(64 << 20),
    /**
     * Keys whose every use is on the disk before the token is asked; of a fleet named `ca` all when absent, else none. The last
     * pattern that matches a label decides, and one after `!` leaves out what it matches.
     */
    issuerKeys: z
      .array(labelPattern)
      .refine(([first = '']) => !first.startsWith('!'), 'want a pattern of keys before the exceptions to it')
      .readonly()
      .optional(),
    /** Uses that are counted and not told of one by one; never those of issuer keys. */
    folded: z
      .array(
        z
          .strictObject({ label: labelPattern, operations: z.array(z.enum(useOperations)).min(1).readonly() })
          .readonly(),
      )
      .default([])
      .readonly(),
    /** How long uses are counted before the count is written. */
    foldSeconds: z.number().min(smallestFoldSeconds).max(largestFoldSeconds).default(60),
    /**
     * What becomes of uses while the trail cannot be written: they are refused, or done and counted. Key management and uses
     * of issuer keys are always refused.
     */
    onFailure: z
      .strictObject({ use: z.enum(['refuse', 'count']) })
      .readonly()
      .prefault({ use: 'count' }),
  })
  .readonly();
export type AuditConfig = z.output<typeof auditConfigSchema>;
