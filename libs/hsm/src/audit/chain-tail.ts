import { createHash, randomBytes } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { type ChainPosition, chainStart, positionAfter } from './chain.js';
import { type AuditRecord, maximumLineBytes, parseAuditRecord, type UnreadableBytes } from './record.js';
import { readSegment } from './segment-reader.js';
import { listChains, parseSegmentName, type SegmentName } from './segment-name.js';

const newline = 0x0a;
const chunkBytes = 65_536;

/** How far a chain goes, as its files say. */
export interface ChainTail {
  readonly position: ChainPosition;
  /** The chain's own name; a new one for a new chain, or when its files do not say any more. */
  readonly chain: string;
  /** The segment that holds the last record; absent before the first. */
  readonly last?: SegmentName;
  /** The number of the newest file, empty ones aside. */
  readonly newest: number;
  /** Whether who wrote last ended in good order. If not, a sync may have failed, and what can be read need not be on the disk. */
  readonly isClosed: boolean;
  /** What no record could be read from since the last one. Then the next record needs a new segment. */
  readonly torn: readonly UnreadableBytes[];
}

/**
 * Reads where the records of a chain end. Only the last one is looked at, whatever the files' size; whether all before it are
 * what they were is for `nest-hsm audit verify`.
 * @throws what the file system says
 */
export async function readTail(directory: string, member: string, slot: number): Promise<ChainTail> {
  const chains = await listChains(directory);
  const files = chains.find((chain) => chain.member === member && chain.slot === slot)?.segments ?? [];
  const torn: UnreadableBytes[] = [];
  let newest = 0;
  for (const name of files.toReversed()) {
    const segment = parseSegmentName(name) as SegmentName;
    const { size, found } = await endOf(join(directory, name));
    if (size > 0) newest ||= segment.number;
    const offset = found?.end ?? 0;
    if (size > offset) torn.unshift(await unreadable(directory, name, offset, size - offset));
    if (found === undefined) continue;
    const position = positionAfter(found.record, found.line);
    const isClosed = found.record.kind === 'closed';
    return { position, chain: await chainOf(join(directory, name)), last: segment, newest, isClosed, torn };
  }
  return { position: chainStart, chain: randomBytes(16).toString('hex'), newest, isClosed: false, torn };
}

interface LastRecord {
  readonly record: AuditRecord;
  readonly line: Buffer;
  /** Behind its newline. */
  readonly end: number;
}

async function endOf(path: string): Promise<{ size: number; found?: LastRecord }> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { size } = await file.stat();
    return { size, found: await lastRecord(file, size) };
  } finally {
    await file.close();
  }
}

/** The last line that is a record, looked for from the end in memory that does not grow with the file. */
async function lastRecord(file: FileHandle, size: number): Promise<LastRecord | undefined> {
  // The bytes from `start` up to and with the last newline that was not looked at yet.
  let window: Buffer = Buffer.alloc(0);
  for (let start = size; start > 0;) {
    const length = Math.min(chunkBytes, start);
    start -= length;
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, start);
    if (bytesRead !== length) throw new Error('want a file that nobody writes to');
    window = Buffer.concat([buffer, window]);
    let end = window.lastIndexOf(newline);
    while (end >= 0) {
      const before = end === 0 ? -1 : window.lastIndexOf(newline, end - 1);
      if (before < 0 && start > 0) break;
      const line = window.subarray(before + 1, end);
      const record = parseAuditRecord(line);
      if (record !== undefined) return { record, line, end: start + end + 1 };
      end = before;
    }
    window = window.subarray(0, end + 1);
    // Longer than any record: what stands before it may still be one.
    if (window.length > maximumLineBytes + 1) window = Buffer.alloc(0);
  }
  return undefined;
}

async function unreadable(directory: string, segment: string, offset: number, bytes: number): Promise<UnreadableBytes> {
  const digest = createHash('sha256');
  for await (const chunk of createReadStream(join(directory, segment), { start: offset }))
    digest.update(chunk as Buffer);
  return { segment, offset, bytes, sha256: digest.digest('hex') };
}

/** As the first record of a segment says. */
async function chainOf(path: string): Promise<string> {
  for await (const part of readSegment(path)) {
    if ('record' in part && part.record.kind === 'segment') return part.record.chain;
    break;
  }
  return randomBytes(16).toString('hex');
}
