import { link, mkdir, open, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';

/** The key of one period of time, as the HSM has wrapped it. */
export interface WrappedTicketKey {
  /** Counted from the epoch, `periodSeconds` each. */
  readonly period: number;
  readonly wrapped: Uint8Array;
}

/** Where all replicas of a service find the same keys of session tickets. What it holds is of no use without the HSM. */
export interface TicketKeyStore {
  /** @param periodSeconds  keys of other lengths are those of another configuration */
  read(periodSeconds: number): Promise<readonly WrappedTicketKey[]>;
  /** Keeps the key unless there is one of its period: of several replicas the first wins. */
  add(periodSeconds: number, key: WrappedTicketKey): Promise<void>;
  /** Deletes the keys of all periods before this one, and those of other lengths of which no ticket was left when it began. */
  removeBefore(periodSeconds: number, period: number): Promise<void>;
}

/** More than any HSM's envelope of 64 bytes. */
const largestWrappedBytes = 4_096;

/** A directory, on the one host or on a file system that the replicas share. A file for each key, `SECONDS-PERIOD.ticket-key`. */
export class TicketKeyDirectory implements TicketKeyStore {
  constructor(private readonly directory: string) {}

  async read(periodSeconds: number): Promise<readonly WrappedTicketKey[]> {
    const keys: WrappedTicketKey[] = [];
    for (const { file, seconds, period } of await this.#files(/^(\d+)-(\d+)\.ticket-key$/)) {
      if (seconds !== periodSeconds) continue;
      const wrapped = await readFile(join(this.directory, file)).catch(ignoreMissing);
      if (wrapped !== undefined && wrapped.length <= largestWrappedBytes) keys.push({ period, wrapped });
    }
    return keys;
  }

  async add(periodSeconds: number, { period, wrapped }: WrappedTicketKey): Promise<void> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const file = join(this.directory, `${periodSeconds}-${period}.ticket-key`);
    const temporary = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`;
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(wrapped);
      await handle.sync();
      // Unlike a rename it fails where there is one.
      await link(temporary, file).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
    } finally {
      await handle.close();
      await unlink(temporary);
    }
  }

  async removeBefore(periodSeconds: number, before: number): Promise<void> {
    // A key opens tickets until its next period is over.
    const now = (before + 1) * periodSeconds;
    for (const { file, seconds, period } of await this.#files(/^(\d+)-(\d+)\.ticket-key(\..*)?$/)) {
      if ((period + 2) * seconds <= now) await unlink(join(this.directory, file)).catch(ignoreMissing);
    }
  }

  async #files(pattern: RegExp): Promise<readonly { file: string; seconds: number; period: number }[]> {
    const files = (await readdir(this.directory).catch(ignoreMissing)) ?? [];
    return files.flatMap((file) => {
      const found = pattern.exec(file);
      return found === null ? [] : { file, seconds: Number(found[1]), period: Number(found[2]) };
    });
  }
}

/** Not there yet, or deleted by another replica just now. */
function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
