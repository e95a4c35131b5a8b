import type { Finding } from '../trail/finding.js';

/** What was found of a trail, and how far that is proven. */
export interface TrailReport {
  /** Whether every record follows the one before, and every checkpoint that is known says the same. */
  readonly isIntact: boolean;
  /** Whether an anchor was given, and every chain goes on from where the anchor knew it. */
  readonly isAnchored: boolean;
  readonly checkpoints: CheckpointsReport;
  readonly chains: readonly ChainReport[];
}

export interface CheckpointsReport {
  /** The trail's name in them. */
  readonly trail?: string;
  /** The last one of the file, as far as it is right. */
  readonly last?: number;
  /** The one that the anchor has. */
  readonly anchored?: number;
  /** SHA-256 of the SubjectPublicKeyInfo of the key that signed them. */
  readonly fingerprint?: string;
  /** Whether the anchor pins that key. */
  readonly isPinned: boolean;
  /** What is wrong with them. */
  readonly faults: readonly string[];
}

export interface ChainReport {
  /** `MEMBER.SLOT`. */
  readonly name: string;
  readonly segments: number;
  readonly records: number;
  /** Of its last record; 0 when there is none. */
  readonly lastSeq: number;
  readonly lastTime?: string;
  /** Where a checkpoint stands for the chain: it is complete up to there. */
  readonly proven: {
    /** By the checkpoint that is known off the host. */
    readonly anchored?: ProvenUpTo;
    /** By the last checkpoint of the file. */
    readonly checkpointed?: ProvenUpTo;
  };
  /** The first hundred. */
  readonly findings: readonly Finding[];
  readonly findingCount: number;
  /** What the trail itself says that it does not tell. The first hundred. */
  readonly notes: readonly Note[];
  readonly noteCount: number;
}

export interface ProvenUpTo {
  readonly checkpoint: number;
  readonly seq: number;
}

/** Something that the reader should know of an intact chain. */
export interface Note {
  readonly kind: 'torn' | 'gap' | 'agent-killed' | 'outcome-unknown' | 'count-unknown';
  readonly seq?: number;
  readonly time?: string;
  readonly message: string;
}

/** How many findings, and how many notes, of each chain are listed; the others are counted. */
export const listedPerChain = 100;
