import { hash } from 'node:crypto';
import type { Anchor } from '../checkpoint/anchor.js';
import { publicKeyText, type SignedCheckpoint, statedKey } from '../checkpoint/checkpoint.js';
import { readCheckpoints } from '../checkpoint/checkpoint-chain.js';
import { AuditError } from '../errors.js';
import { type Chain, readChains } from '../trail/chain.js';
import { verifyChain } from './chain-verification.js';
import { KnownHeads } from './known-heads.js';
import type { ChainReport, CheckpointsReport, TrailReport } from './report.js';

export interface VerifyOptions {
  /** Where the segments are; those that were moved elsewhere are found when that directory is named too. */
  readonly directories: readonly string[];
  /** The checkpoints of the trail. */
  readonly checkpointFile?: string;
  /** What is known off the host. */
  readonly anchor?: Anchor;
}

/**
 * Finds every record that was removed, changed, moved or inserted up to the last checkpoint, and after it those that do not
 * follow one another: whoever rewrites the end of a chain from some record on is found by a checkpoint only. Needs neither HSM nor network, and no more memory for a longer trail.
 * @throws {AuditError} ERR_AUDIT_TRAIL_UNREADABLE | ERR_AUDIT_CONFIG_INVALID | ERR_AUDIT_FILE_UNUSABLE: what is wrong with the
 * trail itself is in the report
 */
export async function verifyTrail({ directories, checkpointFile, anchor }: VerifyOptions): Promise<TrailReport> {
  const knowledge = new Knowledge(anchor);
  if (checkpointFile !== undefined) await knowledge.readFile(checkpointFile);
  knowledge.end();
  const chains = await readChains(directories);
  const reports: ChainReport[] = [];
  for (const chain of [...chains, ...knowledge.chainsBeside(chains)]) {
    reports.push(await verifyChain(chain, knowledge.headsOf(chain.name), anchor?.checkpoint));
  }
  const isIntact = knowledge.report.faults.length === 0 && reports.every(({ findingCount }) => findingCount === 0);
  const isAnchored = isIntact && reports.some(({ proven }) => proven.anchored !== undefined);
  return { isIntact, isAnchored, checkpoints: knowledge.report, chains: reports };
}

/** What the checkpoints of the file and of the anchor say together. */
class Knowledge {
  readonly #heads = new Map<string, KnownHeads>();
  readonly #faults: string[] = [];
  #last: SignedCheckpoint | undefined;
  #isAnchorMet = false;

  constructor(private readonly anchor: Anchor | undefined) {}

  async readFile(path: string): Promise<void> {
    try {
      for await (const next of readCheckpoints(path, this.anchor?.publicKey)) this.#take(next);
    } catch (error) {
      if (!(error instanceof AuditError) || error.code !== 'ERR_AUDIT_CHECKPOINTS_ALTERED') throw error;
      this.#faults.push(error.message);
    }
    const number = this.anchor?.checkpoint?.checkpoint.number ?? 0;
    if (!this.#isAnchorMet && number > 0) {
      this.#faults.push(
        `${path}: want checkpoint ${number}, which the anchor has, got ${this.#last?.checkpoint.number ?? 'none'} as the last`,
      );
    }
  }

  /** The anchor's knows what the file may not. */
  end(): void {
    const known = this.anchor?.checkpoint;
    if (known !== undefined && !this.#isAnchorMet) this.#learn(known);
  }

  headsOf(name: string): KnownHeads {
    const heads = this.#heads.get(name) ?? new KnownHeads();
    this.#heads.set(name, heads);
    return heads;
  }

  /** Chains that a checkpoint saw and that have no segment any more. */
  chainsBeside(chains: readonly Chain[]): Chain[] {
    const names = new Set(chains.map(({ name }) => name));
    return [...this.#heads.keys()]
      .filter((name) => !names.has(name))
      .map((name) => ({ name, member: '', segments: [] }));
  }

  get report(): CheckpointsReport {
    const one = this.#last ?? this.anchor?.checkpoint;
    const key = this.anchor?.publicKey ?? (one && statedKey(one));
    return {
      trail: one?.checkpoint.trail,
      last: this.#last?.checkpoint.number,
      anchored: this.anchor?.checkpoint?.checkpoint.number,
      fingerprint: key && hash('sha256', Buffer.from(publicKeyText(key), 'base64')),
      isPinned: this.anchor !== undefined,
      faults: this.#faults,
    };
  }

  #take(next: SignedCheckpoint): void {
    const known = this.anchor?.checkpoint;
    if (known?.checkpoint.number === next.checkpoint.number) {
      this.#isAnchorMet = true;
      if (known.text !== next.text) {
        this.#faults.push(`checkpoint ${next.checkpoint.number}: want the one that the anchor has, got another`);
      }
    }
    this.#learn(next);
    this.#last = next;
  }

  #learn({ checkpoint }: SignedCheckpoint): void {
    for (const head of checkpoint.chains) this.headsOf(head.name).add(checkpoint.number, head);
  }
}
