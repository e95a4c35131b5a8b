import {
  byKind,
  dictionaryOf,
  fits,
  integer,
  listOf,
  matching,
  oneOf,
  openRecord,
  optional,
  type ShapeOf,
  text,
  timestamp,
} from '../shape.js';

/** Of the lines, of their order, and of how segments follow one another (docs/AUDIT.md). */
export const auditFormatVersion = 1;

/** A longer line is none: a reader need hold no more than this. */
export const maximumLineBytes = 65_536;

const count = integer(0);
const positive = integer(1);
const sha256Hex = matching(/^[0-9a-f]{64}$/);

/** What every record has, whatever it tells. */
const envelope = {
  /** 1 for the first of its chain, then without holes. */
  seq: positive,
  /** SHA-256 of the previous record's line, without its newline; 64 zeros for the first. */
  prev: sha256Hex,
  /** RFC 3339, UTC, milliseconds. */
  time: timestamp,
};

/** Which key, of the token that the chain's last `opened` names. */
const key = openRecord({ id: text(), label: optional(text()) });

/** Who did what with which key. */
const use = {
  client: text(),
  operation: text(),
  key: optional(key),
  /** A signature scheme, wrapping or key algorithm. */
  mechanism: optional(text()),
};

const call = {
  ...use,
  /** Hexadecimal hash of what is signed, by the hash of the scheme; SHA-512 of the message for Ed25519. */
  digest: optional(text()),
  /** SHA-256 of the SubjectPublicKeyInfo of each one that a key is exported to. */
  recipients: optional(listOf(text())),
  correlationId: optional(text()),
  /** 1 for a call's first; more when it was made again, or on a second member at the same time. */
  attempt: positive,
};

const unreadableBytes = openRecord({
  /** File name. */
  segment: text(),
  /** Where in it the last record's line ends. */
  offset: count,
  /** How many bytes follow, that are no record. */
  bytes: positive,
  sha256: sha256Hex,
});
/** The end of a segment that no record can be read from: torn by a crash, or damaged. Left where it is. */
export type UnreadableBytes = Readonly<ShapeOf<typeof unreadableBytes>>;

/** One line of a chain. Fields that a later version may add are kept as they are. */
const auditRecord = byKind('kind', {
  /** The first record of every segment. */
  segment: openRecord({
    ...envelope,
    format: oneOf([auditFormatVersion]),
    /** 32 hexadecimal digits, chosen at random with the chain's first record. */
    chain: matching(/^[0-9a-f]{32}$/),
    member: text(),
    /** File name of the segment that holds the previous record; absent in the first. */
    previous: optional(text()),
    /** What could not be read when the chain was taken up, since the previous record. */
    torn: optional(listOf(unreadableBytes)),
  }),
  /** An agent logged in, or its PIN was refused. */
  opened: openRecord({
    ...envelope,
    member: text(),
    pid: count,
    client: optional(text()),
    version: text(),
    token: openRecord({ label: optional(text()), serial: optional(text()) }),
    /** `ok` or an error code. */
    result: text(),
  }),
  /** Is about to be done; on the disk before the token is asked. */
  intent: openRecord({ ...envelope, ...call }),
  /** Was done, or refused. */
  result: openRecord({
    ...envelope,
    ...call,
    /** `ok` or an error code. */
    result: text(),
    /** CKR name, when the token failed. */
    returnValue: optional(text()),
    /** `seq` of its intent. */
    intent: optional(positive),
    durationMicroseconds: count,
  }),
  /** From here on uses of that kind are counted, and not told of one by one. */
  'folded-open': openRecord({ ...envelope, ...use }),
  /** How many there were. */
  folded: openRecord({
    ...envelope,
    ...use,
    /** `seq` of its `folded-open`; absent when that was lost. */
    open: optional(positive),
    first: envelope.time,
    last: envelope.time,
    /** By result: `ok` or an error code. */
    counts: dictionaryOf(positive),
  }),
  /** Records that could not be written. */
  gap: openRecord({
    ...envelope,
    /** How many. */
    lost: positive,
    /** How many operations they would have told of. */
    operations: count,
    /** When the first of them was lost. */
    since: envelope.time,
  }),
  /** The agent ended in good order. */
  closed: openRecord({ ...envelope }),
});
export type AuditRecord = Readonly<ShapeOf<typeof auditRecord>>;
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
  return fits(auditRecord, value) ? value : undefined;
}
