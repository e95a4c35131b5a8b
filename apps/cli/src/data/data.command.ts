import type { DataEncryption } from '@nest-hsm/data-encryption';
import { CommandRunner, Option } from 'nest-commander';
import { CliError, reportFault } from '../faults.js';
import { openDataSource } from './data-source.js';

export interface DataCommandOptions {
  readonly dataSource: string;
  readonly json?: boolean;
}

export interface TableCommandOptions extends DataCommandOptions {
  readonly table?: string;
}

/** A command on the encrypted columns of one data source: `--data-source FILE` says which. */
export abstract class DataCommand extends CommandRunner {
  override setCommand(command: CommandRunner['command']): this {
    return super.setCommand(command.allowExcessArguments(false));
  }

  @Option({
    flags: '-d, --data-source <file>',
    description: "a module (.js) that exports the application's data source",
    required: true,
  })
  parseDataSource(value: string): string {
    return value;
  }

  @Option({ flags: '--json', description: 'answer with one JSON document' })
  parseJson(): boolean {
    return true;
  }

  /**
   * Does one piece of work with a data source, and ends the process: what the application's module has opened beside its data
   * source, an HSM above all, is not ours to close.
   */
  protected async withLifecycle(
    { dataSource: file }: DataCommandOptions,
    work: (lifecycle: DataEncryption['lifecycle'], signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const controller = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () =>
        controller.abort(new CliError('ERR_CLI_INTERRUPTED', `${signal}: what is done stays done`)),
      );
    }
    try {
      const { dataSource, encryption } = await openDataSource(file);
      try {
        await work(encryption.lifecycle, controller.signal);
      } finally {
        await dataSource.destroy();
      }
    } catch (error) {
      reportFault((controller.signal.aborted ? controller.signal.reason : error) as Error);
    }
    for (const stream of [process.stdout, process.stderr]) await new Promise((resolve) => stream.write('', resolve));
    process.exit();
  }
}

/** A command on one table, or on all of them. */
export abstract class TableCommand extends DataCommand {
  @Option({ flags: '-t, --table <id>', description: 'one table, by its logical name; all of them without it' })
  parseTable(value: string): string {
    return value;
  }

  /** The tables that were meant. */
  protected tables({ tableIds }: DataEncryption['lifecycle'], { table }: TableCommandOptions): readonly string[] {
    return table === undefined ? tableIds : [table];
  }
}

/** @throws {CliError} ERR_CLI_ARGUMENT */
export function count(option: string, value: string, most: number): number {
  const number = Number(value);
  if (Number.isInteger(number) && number >= 1 && number <= most) return number;
  throw new CliError('ERR_CLI_ARGUMENT', `${option}: want a number from 1 to ${most}, got ${value}`);
}
