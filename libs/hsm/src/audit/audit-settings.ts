import { integer, listOf, matching, number, oneOf, optional, record, type ShapeOf, text } from '../shape.js';

/** What is done with data and messages, under a key that stays as it is. Everything else is key management. */
export const useOperations = ['sign', 'encrypt', 'decrypt', 'mac'] as const;

export const smallestSegmentBytes = 4_096;
export const largestSegmentBytes = 1 << 30;
export const smallestFoldSeconds = 0.1;
export const largestFoldSeconds = 86_400;

const label = text(1);
/** What the agent of one member is told: the configuration (audit-config.ts) with its defaults filled in, and whose trail it is. */
export const auditSettings = record({
  directory: text(1),
  maximumSegmentBytes: integer(smallestSegmentBytes, largestSegmentBytes),
  issuerKeys: optional(listOf(label)),
  folded: listOf(record({ label, operations: listOf(oneOf(useOperations), 1) })),
  foldSeconds: number(smallestFoldSeconds, largestFoldSeconds),
  onFailure: record({ use: oneOf(['refuse', 'count']) }),
  member: matching(/^[^/\0]+$/),
});
export type AuditSettings = Readonly<ShapeOf<typeof auditSettings>>;
