import { createHash, type Hash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { type AuditRecord, maximumLineBytes, parseAuditRecord, type UnreadableBytes } from './record.js';

const newline = 0x0a;
const chunkBytes = 65_536;

/** A record, and the bytes that its hash is over. */
export interface SegmentLine {
  readonly record: AuditRecord;
  /** Without the newline. */
  readonly line: Buffer;
  /** Of its first byte in the file. */
  readonly offset: number;
}

export type SegmentPart = SegmentLine | { readonly unreadable: UnreadableBytes };

/**
 * The records of one segment in order, in memory that does not grow with it. From the first line on that is no record, the
 * rest of the file is one `unreadable` part, the last; what a crash tore is found again, word for word, in `torn` of the
 * next segment's first record, and anything else is damage. Whether records follow each other is `chainFault`'s to say.
 * @param start  of the first byte that is read, where a line begins
 * @throws what the file system says
 */
export async function* readSegment(path: string, start = 0): AsyncGenerator<SegmentPart, void, undefined> {
  const stream = createReadStream(path, { fd: await openFile(path), start, highWaterMark: chunkBytes });
  let pending: Buffer = Buffer.alloc(0);
  let offset = start;
  let rest: Rest | undefined;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (rest !== undefined) {
      rest.add(chunk);
      continue;
    }
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    for (let end = pending.indexOf(newline); end >= 0; end = pending.indexOf(newline)) {
      const line = pending.subarray(0, end);
      const record = parseAuditRecord(line);
      if (record === undefined) break;
      yield { record, line, offset };
      offset += end + 1;
      pending = pending.subarray(end + 1);
    }
    const isEndless = pending.length > maximumLineBytes;
    if (isEndless || pending.includes(newline)) rest = new Rest(basename(path), offset).add(pending);
  }
  if (rest === undefined && pending.length > 0) rest = new Rest(basename(path), offset).add(pending);
  if (rest !== undefined) yield { unreadable: rest.end() };
}

/** A pipe would be waited at for ever, and a link leads to somebody else's file. */
async function openFile(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw Object.assign(new Error(`${path}: want a regular file`), { code: 'EFTYPE' });
}

/** What follows the last record. */
class Rest {
  readonly #hash: Hash = createHash('sha256');
  #bytes = 0;

  constructor(
    private readonly segment: string,
    private readonly offset: number,
  ) {}

  add(bytes: Buffer): this {
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
    return this;
  }

  end(): UnreadableBytes {
    const { segment, offset } = this;
    return { segment, offset, bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }
}
