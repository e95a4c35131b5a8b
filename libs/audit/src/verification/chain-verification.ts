import type { AuditRecord } from '@nest-hsm/hsm';
import type { SignedCheckpoint } from '../checkpoint/checkpoint.js';
import type { Chain } from '../trail/chain.js';
import { type ChainStep, type RecordPlace, walkChain } from '../trail/chain-walk.js';
import type { Finding } from '../trail/finding.js';
import type { KnownHeads } from './known-heads.js';
import { OpenEnds } from './open-ends.js';
import { type ChainReport, listedPerChain, type Note, type ProvenUpTo } from './report.js';

/** Reads one chain from its first record to its last, and holds it to what checkpoints saw. */
export async function verifyChain(chain: Chain, heads: KnownHeads, anchor?: SignedCheckpoint): Promise<ChainReport> {
  const verification = new ChainVerification(chain, heads, anchor);
  for await (const step of walkChain(chain)) verification.take(step);
  return verification.end();
}

class ChainVerification {
  readonly #openEnds = new OpenEnds();
  readonly #findings: Finding[] = [];
  readonly #notes: Note[] = [];
  readonly #anchored: ProvenUpTo | undefined;
  #findingCount = 0;
  #noteCount = 0;
  #records = 0;
  /** Whether an agent began that has not ended. */
  #isOpen = false;
  #last: { readonly seq: number; readonly time?: string } = { seq: 0 };
  #checkpointed: ProvenUpTo | undefined;

  constructor(
    private readonly chain: Chain,
    private readonly heads: KnownHeads,
    anchor: SignedCheckpoint | undefined,
  ) {
    const head = anchor?.checkpoint.chains.find(({ name }) => name === chain.name);
    if (anchor && head) this.#anchored = { checkpoint: anchor.checkpoint.number, seq: head.seq };
  }

  take(step: ChainStep): void {
    switch (step.type) {
      case 'finding':
        return this.#find(step.finding);
      case 'torn':
        return this.#note(torn(step));
      case 'record':
        return this.#meet(step.record, step.place);
    }
  }

  end(): ChainReport {
    for (const note of this.#openEnds.end()) this.#note(note);
    const { seq: lastSeq, time: lastTime } = this.#last;
    const known = this.heads.last;
    if (known !== undefined && known.seq > lastSeq) {
      const message = `want record ${known.seq}, which checkpoint ${known.checkpoint} saw, got the end at ${lastSeq}`;
      this.#find({ kind: 'truncated', chain: this.chain.name, seq: lastSeq, message });
    }
    // Whatever was found before a record that a checkpoint saw, that checkpoint says nothing for it.
    const isWhole = this.#findingCount === 0;
    return {
      name: this.chain.name,
      segments: this.chain.segments.length,
      records: this.#records,
      lastSeq,
      lastTime,
      proven: isWhole ? { anchored: this.#anchored, checkpointed: this.#checkpointed } : {},
      findings: this.#findings,
      findingCount: this.#findingCount,
      notes: this.#notes,
      noteCount: this.#noteCount,
    };
  }

  #meet(record: AuditRecord, place: RecordPlace): void {
    this.#records++;
    this.#last = { seq: record.seq, time: record.time };
    if (record.kind === 'gap') this.#note(gap(record));
    if (record.kind === 'opened' && this.#isOpen) this.#note(killed(record));
    if (record.kind === 'opened' || record.kind === 'closed') this.#isOpen = record.kind === 'opened';
    const endless = this.#openEnds.meet(record);
    if (endless) this.#note(endless);
    const known = this.heads.meet(place);
    if (known?.isSame === true) this.#checkpointed = { checkpoint: known.checkpoint, seq: known.seq };
    if (known?.isSame === false) {
      const { segment, offset, seq } = place;
      const message = `want the record ${seq} that checkpoint ${known.checkpoint} saw, got another`;
      this.#find({ kind: 'contradicted', chain: this.chain.name, segment, offset, seq, message });
    }
  }

  #find(finding: Finding): void {
    if (this.#findingCount++ < listedPerChain) this.#findings.push(finding);
  }

  #note(note: Note): void {
    if (this.#noteCount++ < listedPerChain) this.#notes.push(note);
  }
}

function torn({ bytes, isSealed }: Extract<ChainStep, { type: 'torn' }>): Note {
  const state = isSealed ? 'torn by a crash and sealed by the agent after it' : 'being written, or torn by a crash';
  return { kind: 'torn', message: `${bytes.segment}, byte ${bytes.offset}: ${bytes.bytes} bytes ${state}` };
}

function gap({ seq, time, lost, operations, since }: Extract<AuditRecord, { kind: 'gap' }>): Note {
  return { kind: 'gap', seq, time, message: `${lost} records of ${operations} operations since ${since} were lost` };
}

function killed({ seq, time }: AuditRecord): Note {
  const message = 'the agent before was killed: uses of its last milliseconds may be missing';
  return { kind: 'agent-killed', seq, time, message };
}
