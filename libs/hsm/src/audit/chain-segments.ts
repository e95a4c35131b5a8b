import type { ChainPosition } from './chain.js';
import { readTail } from './chain-tail.js';
import type { UnreadableBytes } from './record.js';
import { segmentFields } from './record-fields.js';
import { SegmentFile } from './segment-file.js';
import { type SegmentName, segmentName } from './segment-name.js';

/** Which chain it is, and how large its files get. */
export interface ChainSegmentsSettings {
  readonly directory: string;
  readonly member: string;
  readonly maximumSegmentBytes: number;
}

/** The files of a chain for its one writer: one segment after the other, the first record of each of which says what it follows. */
export class ChainSegments {
  /** Random, the same in all segments. */
  #chain = '';
  #current: SegmentFile | undefined;
  #head: string | undefined;

  constructor(
    private readonly settings: ChainSegmentsSettings,
    private readonly slot: number,
  ) {}

  /** The segment that is written to; undefined before `takeUp`, and after `letGo`. */
  get current(): SegmentFile | undefined {
    return this.#current;
  }

  /** The first record of the current segment, which it has to have before any other; undefined once it has one. */
  get head(): string | undefined {
    return this.#head;
  }

  /** The current segment has its first record. */
  begun(): void {
    this.#head = undefined;
  }

  /**
   * Goes on where the files end: in the last segment if it was left in good order, and in a new one otherwise.
   * @returns what the next record follows
   * @throws what the file system says
   */
  async takeUp(): Promise<ChainPosition> {
    const { directory, member } = this.settings;
    const { position, chain, last, newest, isClosed, torn } = await readTail(directory, member, this.slot);
    const goesOn = last !== undefined && isClosed && torn.length === 0;
    const segment = goesOn ? await SegmentFile.open(directory, last) : await this.#newSegment(newest + 1);
    this.#chain = chain;
    this.#current = segment;
    this.#head = goesOn ? undefined : this.#headAfter(last, torn);
    return position;
  }

  /** Whether the next record needs another segment than this one. */
  isSpent({ isSound, size }: SegmentFile): boolean {
    return !isSound || size >= this.settings.maximumSegmentBytes;
  }

  /** Another segment takes the place of a spent one, of which nothing is being synced. @throws what the file system says */
  async rotate(spent: SegmentFile): Promise<void> {
    if (spent.isSound) await spent.sync();
    const { name } = spent;
    this.#current = await this.#newSegment(name.number + 1);
    this.#head = this.#headAfter(name, []);
    await spent.close();
  }

  /** Closes the segment; what comes next is for `takeUp`. */
  async letGo(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    await current?.close().catch(() => undefined);
  }

  async #newSegment(number: number): Promise<SegmentFile> {
    const { directory, member } = this.settings;
    const segment = await SegmentFile.open(directory, { member, slot: this.slot, number });
    // Left empty when a disk was full.
    if (segment.size === 0) return segment;
    await segment.close();
    throw Object.assign(new Error(`segment ${number}: want a file of its own`), { code: 'EEXIST' });
  }

  #headAfter(previous: SegmentName | undefined, torn: readonly UnreadableBytes[]): string {
    return segmentFields({
      chain: this.#chain,
      member: this.settings.member,
      previous: previous && segmentName(previous),
      torn: torn.length === 0 ? undefined : torn,
    });
  }
}
