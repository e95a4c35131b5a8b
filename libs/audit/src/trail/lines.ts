import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

const newline = 0x0a;

export interface Line {
  /** Without the newline. */
  readonly line: Buffer;
  /** Of its first byte in the file. */
  readonly offset: number;
  /** False for what stands after the last newline, and for as much as was read of a line that is too long. */
  readonly isWhole: boolean;
}

/**
 * The lines of a file, in memory that does not grow with it. One that is too long is the last.
 * @param start  where a line begins
 * @throws what the file system says
 */
export async function* readLines(
  path: string,
  { start = 0, maximumBytes }: { readonly start?: number; readonly maximumBytes: number },
): AsyncGenerator<Line, void, undefined> {
  const file = await openRegular(path, constants.O_RDONLY);
  const stream = file.createReadStream({ start }) as AsyncIterable<Buffer>;
  let pending: Buffer = Buffer.alloc(0);
  let offset = start;
  for await (const chunk of stream) {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    for (let end = pending.indexOf(newline); end >= 0 && end <= maximumBytes; end = pending.indexOf(newline)) {
      yield { line: pending.subarray(0, end), offset, isWhole: true };
      offset += end + 1;
      pending = pending.subarray(end + 1);
    }
    if (pending.length > maximumBytes) break;
  }
  if (pending.length > 0) yield { line: pending, offset, isWhole: false };
}

/** Not a link, which leads to somebody else's file, and not a pipe, which would be waited at for ever. */
export async function openRegular(path: string, flags: number, mode?: number): Promise<FileHandle> {
  const file = await open(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK, mode);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw Object.assign(new Error(`${path}: want a regular file`), { code: 'EFTYPE' });
}
