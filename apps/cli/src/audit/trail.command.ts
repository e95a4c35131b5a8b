import { pipeline } from 'node:stream/promises';
import { CommandRunner, Option } from 'nest-commander';

export interface TrailCommandOptions {
  readonly json?: boolean;
}

/** A command that reads the directories of a trail, and needs no HSM. */
export abstract class TrailCommand extends CommandRunner {
  @Option({ flags: '--json', description: 'answer with one JSON document' })
  parseJson(): boolean {
    return true;
  }
}

export interface PeriodCommandOptions extends TrailCommandOptions {
  readonly since?: string;
  readonly until?: string;
}

/** A command that may be about a part of the trail's time. */
export abstract class PeriodCommand extends TrailCommand {
  @Option({ flags: '--since <time>', description: 'date or RFC 3339 time of the first record' })
  parseSince(value: string): string {
    return value;
  }

  @Option({ flags: '--until <time>', description: 'date or RFC 3339 time after the last record' })
  parseUntil(value: string): string {
    return value;
  }
}

/** Writes no faster than it is read, and ends when it cannot: nobody reads any more (`| head`), or the disk is full. */
export async function printStream(text: AsyncIterable<string>): Promise<void> {
  try {
    await pipeline(text, process.stdout, { end: false });
  } catch (error) {
    // The stream's own listener has told of it.
    if ((error as NodeJS.ErrnoException).syscall !== 'write') throw error;
  }
}
