import { constants } from 'node:fs';
import {
  type AuditRecord,
  chainFault,
  type ChainPosition,
  chainStart,
  hashOfLine,
  maximumAuditLineBytes,
  readSegment,
  type SegmentLine,
  type UnreadableBytes,
} from '@nest-hsm/hsm';
import { type Chain, type ChainSegment, inNumberOrder } from './chain.js';
import type { Finding, FindingKind } from './finding.js';
import { openRegular } from './lines.js';

/** Which record, and where its line begins: enough to find it again, and to go on after it. */
export interface RecordPlace extends ChainPosition {
  /** The chain's random id, 32 hexadecimal digits; empty when its first segment is missing. */
  readonly id: string;
  /** File name. */
  readonly segment: string;
  readonly offset: number;
}

export type ChainStep =
  | { readonly type: 'record'; readonly record: AuditRecord; readonly line: Buffer; readonly place: RecordPlace }
  /** What a crash tore. Sealed: the agent that came after said so, with the bytes' hash. */
  | { readonly type: 'torn'; readonly bytes: UnreadableBytes; readonly isSealed: boolean }
  | { readonly type: 'finding'; readonly finding: Finding };

/**
 * Reads a chain and holds every record to the one before it, in memory that does not grow with the chain. After a finding it
 * goes on from the record at which that showed.
 * @param from  a record that was read before: it must still be there, and what follows it is read. When it is not, the
 * finding that says so is the only step
 */
export async function* walkChain(chain: Chain, from?: RecordPlace): AsyncGenerator<ChainStep, void, undefined> {
  const walk = new ChainWalk(chain);
  yield* from === undefined ? walk.all() : walk.after(from);
}

/**
 * The same for who has to go on whatever became of that record: after the finding follows every record from the beginning of the
 * segment where it was, or of the last one before that is there. Where the record could not be read nothing follows: it may be
 * there yet.
 */
export async function* resumeChain(chain: Chain, from?: RecordPlace): AsyncGenerator<ChainStep, void, undefined> {
  let isLost = false;
  for await (const step of walkChain(chain, from)) {
    isLost ||= step.type === 'finding' && step.finding.kind === 'truncated';
    yield step;
  }
  if (isLost && from !== undefined) yield* new ChainWalk(chain).from(from);
}

class ChainWalk {
  /** Undefined where what goes before is not looked at. */
  #position: ChainPosition | undefined = chainStart;
  #id = '';
  /** Of the last record. */
  #segment: string | undefined;
  /** Since the last record. */
  #unreadable: UnreadableBytes[] = [];

  constructor(private readonly chain: Chain) {}

  async *all(): AsyncGenerator<ChainStep, void, undefined> {
    yield* this.#segments(this.chain.segments);
  }

  async *after(from: RecordPlace): AsyncGenerator<ChainStep, void, undefined> {
    const index = this.chain.segments.findIndex(({ name }) => name === from.segment);
    const segment: ChainSegment | undefined = this.chain.segments[index];
    if (segment === undefined) {
      yield this.#truncated(from, 'no such segment');
      return;
    }
    const step = await this.#whyNotAt(segment, from);
    if (step !== undefined) {
      yield step;
      return;
    }
    this.#position = from;
    this.#id = from.id;
    this.#segment = segment.name;
    yield* this.#rest(segment, from.offset, 1);
    yield* this.#segments(this.chain.segments.slice(index + 1));
  }

  async *from({ segment }: RecordPlace): AsyncGenerator<ChainStep, void, undefined> {
    const { segments } = this.chain;
    const index = segments.findLastIndex((each) => inNumberOrder(each, { name: segment }) <= 0);
    if (index > 0) this.#position = undefined;
    yield* this.#segments(segments.slice(Math.max(0, index)));
  }

  /** @returns what is there instead of that record; undefined when it is there */
  async #whyNotAt(segment: ChainSegment, from: RecordPlace): Promise<ChainStep | undefined> {
    try {
      for await (const part of readSegment(segment.path, from.offset)) {
        if ('unreadable' in part) return this.#truncated(from, 'bytes that are no record');
        if (hashOfLine(part.line) === from.hash) return undefined;
        return this.#truncated(from, `record ${part.record.seq}, or one that was changed`);
      }
      return this.#truncated(from, 'the end of the segment');
    } catch (cause) {
      // What could not be read now says nothing of what is there.
      return this.#inaccessible(segment, cause);
    }
  }

  #truncated(from: RecordPlace, got: string): ChainStep {
    return this.#finding('truncated', from, `want record ${from.seq}, which was read before, got ${got}`, from.seq);
  }

  async *#segments(segments: readonly ChainSegment[]): AsyncGenerator<ChainStep, void, undefined> {
    for (const segment of segments) yield* this.#rest(segment, 0, 0);
    for (const bytes of this.#unreadable) yield await this.#unsealed(bytes);
  }

  /** @param skip  how many records that are known already begin there */
  async *#rest(segment: ChainSegment, start: number, skip: number): AsyncGenerator<ChainStep, void, undefined> {
    const { settledBytes = Infinity } = segment;
    let count = 0;
    try {
      for await (const part of readSegment(segment.path, start)) {
        if ('line' in part && part.offset + part.line.length >= settledBytes) return;
        if ('unreadable' in part) this.#unreadable.push(part.unreadable);
        else if (count++ >= skip) yield* this.#record(segment, part, start === 0 && count === 1);
      }
    } catch (cause) {
      yield this.#inaccessible(segment, cause);
    }
  }

  *#record({ name }: ChainSegment, { record, line, offset }: SegmentLine, isFirst: boolean): Generator<ChainStep> {
    const at = { segment: name, offset };
    const position = this.#position;
    if (isFirst && position !== undefined) yield* this.#seal(record, at);
    const step = position && chainFault(position, record);
    if (position !== undefined && step?.field === 'seq') yield this.#outOfOrder(record, at, position.seq + 1);
    else if (step?.field === 'prev') {
      const message = `want it to follow the record before, got other bytes there: one of the two was changed`;
      yield this.#finding('altered', at, message, record.seq);
    }
    yield* this.#label(record, at, isFirst, position === undefined || step !== undefined);
    this.#segment = name;
    const here = { seq: record.seq, hash: hashOfLine(line) };
    this.#position = here;
    yield { type: 'record', record, line, place: { ...here, ...at, id: this.#id } };
  }

  #outOfOrder({ seq }: AuditRecord, at: Where, want: number): ChainStep {
    if (seq < want)
      return this.#finding('misplaced', at, `want record ${want}, got ${seq} again, or another in its place`, seq);
    const gone = seq - 1 === want ? `record ${want}` : `records ${want} to ${seq - 1}`;
    return this.#finding('missing', at, `want ${gone}, got ${seq}`, seq);
  }

  /** The first record of each segment says of which chain it is, and what it follows; no other one does. */
  *#label(record: AuditRecord, at: Where, isFirst: boolean, isOutOfStep: boolean): Generator<ChainStep> {
    const { seq } = record;
    if (record.kind !== 'segment' || !isFirst) {
      if (record.kind === 'segment' || isFirst) {
        const want = isFirst ? 'a segment to begin with' : 'it at the beginning of';
        yield this.#finding('mislabelled', at, `want ${want} its "segment" record, got ${record.kind}`, seq);
      }
      return;
    }
    this.#id ||= record.chain;
    const wanted = { chain: this.#id, member: this.chain.member, previous: this.#segment };
    for (const [field, want] of Object.entries(wanted)) {
      const got = record[field];
      // After a hole, it cannot be known what it should follow.
      if (got === want || (field === 'previous' && isOutOfStep)) continue;
      yield this.#finding('mislabelled', at, `${field}: want ${want ?? 'none'}, got ${quoted(got)}`, seq);
    }
    this.#id = record.chain;
  }

  /** What could not be read is what the agent found so, byte for byte. */
  *#seal(record: AuditRecord, at: Where): Generator<ChainStep> {
    const sealed = record.kind === 'segment' ? (record.torn ?? []) : [];
    for (const bytes of this.#unreadable) {
      if (sealed.some((other) => isSame(bytes, other))) yield { type: 'torn', bytes, isSealed: true };
      else yield this.#damage(bytes);
    }
    for (const bytes of sealed) {
      if (this.#unreadable.some((other) => isSame(bytes, other))) continue;
      const message = `want the ${bytes.bytes} torn bytes of ${quoted(bytes.segment)}, got none, or others`;
      yield this.#finding('missing', at, message, record.seq);
    }
    this.#unreadable = [];
  }

  /** The end of a chain: a line that is being written, or was when the agent died, has no newline yet. */
  async #unsealed(bytes: UnreadableBytes): Promise<ChainStep> {
    const segment = this.chain.segments.find(({ name }) => name === bytes.segment);
    const length = Math.min(bytes.bytes, (segment?.settledBytes ?? Infinity) - bytes.offset);
    const isTorn = length <= maximumAuditLineBytes && !(await hasNewline(segment?.path, bytes.offset, length));
    return isTorn ? { type: 'torn', bytes, isSealed: false } : this.#damage(bytes);
  }

  #damage({ segment, offset, bytes }: UnreadableBytes): ChainStep {
    return this.#finding('unreadable', { segment, offset }, `want a record, got ${bytes} bytes that are none`);
  }

  #inaccessible({ name }: ChainSegment, cause: unknown): ChainStep {
    const message = `want a segment to read, got ${reason(cause)}`;
    return this.#finding('inaccessible', { segment: name, offset: 0 }, message);
  }

  #finding(kind: FindingKind, { segment, offset }: Where, message: string, seq?: number): ChainStep {
    return { type: 'finding', finding: { kind, chain: this.chain.name, segment, offset, seq, message } };
  }
}

interface Where {
  readonly segment: string;
  readonly offset: number;
}

function isSame(one: UnreadableBytes, other: UnreadableBytes): boolean {
  return (['segment', 'offset', 'bytes', 'sha256'] as const).every((field) => one[field] === other[field]);
}

async function hasNewline(path: string | undefined, offset: number, length: number): Promise<boolean> {
  if (path === undefined || length <= 0) return false;
  const file = await openRegular(path, constants.O_RDONLY);
  try {
    const bytes = Buffer.alloc(length);
    await file.read(bytes, 0, length, offset);
    return bytes.includes('\n');
  } finally {
    await file.close();
  }
}

/** A record may hold anything. */
function quoted(value: unknown): string {
  return JSON.stringify(value ?? null).slice(0, 80);
}

function reason(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
}
