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

/** Writes no faster than it is read, and ends when nobody reads any more (`| head`). */
export async function printStream(text: AsyncIterable<string>): Promise<void> {
  try {
    await pipeline(text, process.stdout, { end: false });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  }
}
