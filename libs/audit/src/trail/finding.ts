/** How a trail can be other than what its agents wrote. */
export type FindingKind =
  /** Records between two others, or before the first, are not there. */
  | 'missing'
  /** A record has a number that was had already: moved, repeated or inserted. */
  | 'misplaced'
  /** A record does not follow the one before it: one of the two was changed. */
  | 'altered'
  /** Bytes that are no record, which no agent found and sealed after a crash. */
  | 'unreadable'
  /** The first record of a segment says that it belongs elsewhere. */
  | 'mislabelled'
  /** The chain ends, or is gone, before a record that is known to have been there. */
  | 'truncated'
  /** A record is not the one that a checkpoint saw. */
  | 'contradicted'
  /** The file system does not give a segment out, or it is no regular file. */
  | 'inaccessible';

/** A place where a trail is not what its agents wrote. */
export interface Finding {
  readonly kind: FindingKind;
  /** Of the chain: `MEMBER.SLOT`. */
  readonly chain: string;
  /** File name. */
  readonly segment?: string;
  /** Byte in that file. */
  readonly offset?: number;
  /** Of the record at which it shows. */
  readonly seq?: number;
  /** "want X, got Y". */
  readonly message: string;
}
