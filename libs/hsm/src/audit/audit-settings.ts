import { z } from 'zod';

/** What is done with data and messages, under a key that stays as it is. Everything else is key management. */
export const useOperations = ['sign', 'encrypt', 'decrypt', 'mac'] as const;

/** As `matchesLabel` takes it. */
const labelPattern = z.string().min(1);

const megabyte = 1 << 20;

/** The trail that the agents of a fleet's members write (docs/AUDIT.md). */
export const auditConfigSchema = z
  .strictObject({
    /** Made 0700. One for all members is right: each agent writes files of its own. */
    directory: z.string().min(1),
    /** A segment that has grown to this is followed by another. */
    maximumSegmentBytes: z
      .int()
      .min(4_096)
      .max(1_024 * megabyte)
      .default(64 * megabyte),
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
    foldSeconds: z.number().min(0.1).max(86_400).default(60),
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

/** What the agent of one member is told. */
export const auditSettingsSchema = z.strictObject({
  ...auditConfigSchema.unwrap().shape,
  member: z.string().regex(/^[^/\0]+$/),
});
export type AuditSettings = Readonly<z.output<typeof auditSettingsSchema>>;
