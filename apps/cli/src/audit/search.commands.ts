import {
  type ExportFormat,
  exportFormats,
  exportRecords,
  type FoundRecord,
  type RecordFilter,
  searchTrail,
  toldBy,
} from '@nest-hsm/audit';
import { Option, SubCommand } from 'nest-commander';
import { CliError } from '../faults.js';
import { printable } from '../printable.js';
import { PeriodCommand, type PeriodCommandOptions, printStream } from './trail.command.js';

type SearchCommandOptions = PeriodCommandOptions & RecordFilter;

/** What both look for. */
abstract class RecordsCommand extends PeriodCommand {
  @Option({ flags: '--key <key>', description: 'label or id' })
  parseKey(value: string): string {
    return value;
  }

  @Option({ flags: '--operation <name>', description: 'e.g. sign, generate, destroy, open' })
  parseOperation(value: string): string {
    return value;
  }

  @Option({ flags: '--client <name>', description: 'who asked for it' })
  parseClient(value: string): string {
    return value;
  }

  @Option({ flags: '--result <code>', description: 'ok, an error code, or failed for any' })
  parseResult(value: string): string {
    return value;
  }

  @Option({ flags: '--correlation-id <id>', description: 'of the request that it was done for' })
  parseCorrelationId(value: string): string {
    return value;
  }

  /** What is found, and a word on standard error when that cannot be trusted. */
  protected async *found(directories: string[], filter: RecordFilter): AsyncGenerator<FoundRecord, void, undefined> {
    let findings = 0;
    yield* searchTrail({ directories, filter, onFinding: () => findings++ });
    if (findings === 0) return;
    process.exitCode = 1;
    process.stderr.write(`nest-hsm: the trail was altered (${findings} findings): see nest-hsm audit verify\n`);
  }
}

const where = { arguments: '<directory...>', argsDescription: { directory: 'where the trail is, or was moved to' } };

@SubCommand({ name: 'search', ...where, description: 'The records that match, in the order of their time' })
export class AuditSearchCommand extends RecordsCommand {
  async run(directories: string[], { json, ...filter }: SearchCommandOptions): Promise<void> {
    const found = this.found(directories, filter);
    await printStream(json === true ? exportRecords(found, 'jsonl') : asLines(found));
  }
}

interface ExportCommandOptions extends SearchCommandOptions {
  readonly format: ExportFormat;
}

@SubCommand({ name: 'export', ...where, description: 'The records that match, for another program' })
export class AuditExportCommand extends RecordsCommand {
  @Option({ flags: '--format <format>', description: exportFormats.join(', '), required: true })
  parseFormat(value: string): ExportFormat {
    const format = exportFormats.find((one) => one === value);
    if (format !== undefined) return format;
    throw new CliError('ERR_CLI_ARGUMENT', `--format: want one of ${exportFormats.join(', ')}, got ${value}`);
  }

  async run(directories: string[], { format, ...filter }: ExportCommandOptions): Promise<void> {
    await printStream(exportRecords(this.found(directories, filter), format));
  }
}

async function* asLines(records: AsyncIterable<FoundRecord>): AsyncGenerator<string, void, undefined> {
  for await (const { chain, record } of records) {
    const { client, operation, key, mechanism, result, counts, correlationId } = toldBy(record);
    const outcome =
      result ??
      (counts &&
        Object.entries(counts)
          .map(([code, count]) => `${count} × ${code}`)
          .join(', '));
    const facts = [operation, key && (key.label ?? key.id), mechanism, client && `by ${client}`];
    const told = [
      facts.filter((fact) => fact !== undefined).join(' '),
      outcome && `: ${outcome}`,
      correlationId && ` (${correlationId})`,
    ].join('');
    yield `${printable(`${record.time} ${chain} ${record.seq} ${record.kind} ${told}`).trimEnd()}\n`;
  }
}
