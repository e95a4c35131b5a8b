import { z } from 'zod';

/** Of the lines, of their order, and of how segments follow one another (docs/AUDIT.md). */
export const auditFormatVersion = 1;

/** A longer line is none: a reader need hold no more than this. */
export const maximumLineBytes = 65_536;

const count = z.int().min(0);
const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);

/** What every record has, whatever it tells. */
const envelope = {
  /** 1 for the first of its chain, then without holes. */
  seq: z.int().min(1),
  /** SHA-256 of the previous record's line, without its newline; 64 zeros for the first. */
  prev: sha256Hex,
  /** RFC 3339, UTC, milliseconds. */
  time: z.iso.datetime({ precision: 3 }),
};

/** Which key, of the token that the chain's last `opened` names. */
const key = z.looseObject({ id: z.string(), label: z.string().optional() });

/** Who did what with which key. */
const use = {
  client: z.string(),
  operation: z.string(),
  key: key.optional(),
  /** A signature scheme, wrapping or key algorithm. */
  mechanism: z.string().optional(),
};

const call = {
  ...use,
  /** Hexadecimal hash of what is signed, by the hash of the scheme; SHA-512 of the message for Ed25519. */
  digest: z.string().optional(),
  /** SHA-256 of the SubjectPublicKeyInfo of each one that a key is exported to. */
  recipients: z.array(z.string()).optional(),
  correlationId: z.string().optional(),
  /** 1 for a call's first; more when it was made again, or on a second member at the same time. */
  attempt: z.int().min(1),
};

const unreadableBytes = z.looseObject({
  /** File name. */
  segment: z.string(),
  /** Where in it the last record's line ends. */
  offset: count,
  /** How many bytes follow, that are no record. */
  bytes: z.int().min(1),
  sha256: sha256Hex,
});
/** The end of a segment that no record can be read from: torn by a crash, or damaged. Left where it is. */
export type UnreadableBytes = Readonly<z.infer<typeof unreadableBytes>>;

/** One line of a chain. Fields that a later version may add are kept as they are. */
export const auditRecordSchema = z.discriminatedUnion('kind', [
  /** The first record of every segment. */
  z.looseObject({
    ...envelope,
    kind: z.literal('segment'),
    format: z.literal(auditFormatVersion),
    /** 32 hexadecimal digits, chosen at random with the chain's first record. */
    chain: z.string().regex(/^[0-9a-f]{32}$/),
    member: z.string(),
    /** File name of the segment that holds the previous record; absent in the first. */
    previous: z.string().optional(),
    /** What could not be read when the chain was taken up, since the previous record. */
    torn: z.array(unreadableBytes).optional(),
  }),
  /** An agent logged in, or its PIN was refused. */
  z.looseObject({
    ...envelope,
    kind: z.literal('opened'),
    member: z.string(),
    pid: count,
    client: z.string().optional(),
    version: z.string(),
    token: z.looseObject({ label: z.string().optional(), serial: z.string().optional() }),
    /** `ok` or an error code. */
    result: z.string(),
  }),
  /** Is about to be done; on the disk before the token is asked. */
  z.looseObject({ ...envelope, kind: z.literal('intent'), ...call }),
  /** Was done, or refused. */
  z.looseObject({
    ...envelope,
    kind: z.literal('result'),
    ...call,
    /** `ok` or an error code. */
    result: z.string(),
    /** CKR name, when the token failed. */
    returnValue: z.string().optional(),
    /** `seq` of its intent. */
    intent: z.int().min(1).optional(),
    durationMicroseconds: count,
  }),
  /** From here on uses of that kind are counted, and not told of one by one. */
  z.looseObject({ ...envelope, kind: z.literal('folded-open'), ...use }),
  /** How many there were. */
  z.looseObject({
    ...envelope,
    kind: z.literal('folded'),
    ...use,
    /** `seq` of its `folded-open`; absent when that was lost. */
    open: z.int().min(1).optional(),
    first: envelope.time,
    last: envelope.time,
    /** By result: `ok` or an error code. */
    counts: z.record(z.string(), z.int().min(1)),
  }),
  /** Records that could not be written. */
  z.looseObject({
    ...envelope,
    kind: z.literal('gap'),
    /** How many. */
    lost: z.int().min(1),
    /** How many operations they would have told of. */
    operations: count,
    /** When the first of them was lost. */
    since: envelope.time,
  }),
  /** The agent ended in good order. */
  z.looseObject({ ...envelope, kind: z.literal('closed') }),
]);
export type AuditRecord = Readonly<z.infer<typeof auditRecordSchema>>;
export type AuditRecordKind = AuditRecord['kind'];

/** @param line  without its newline @returns undefined when it is no record */
export function parseAuditRecord(line: Buffer): AuditRecord | undefined {
  if (line.length > maximumLineBytes) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line.toString('utf8'));
  } catch {
    return undefined;
  }
  const parsed = auditRecordSchema.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}
