import type { Backfill, BackfillOptions, DataLifecycle } from '@nest-hsm/data-encryption';
import { Option } from 'nest-commander';
import { print } from '../hsm.command.js';
import { count, TableCommand, type TableCommandOptions } from './data.command.js';
import { ProgressBar } from './progress-bar.js';

export interface PlaintextCommandOptions extends TableCommandOptions {
  readonly rowsPerSecond?: number;
}

type Work = (lifecycle: DataLifecycle, tableId: string, options: BackfillOptions) => Promise<Backfill>;

/** A command that goes over the tables that have plaintext beside cells. */
export abstract class PlaintextCommand extends TableCommand {
  @Option({ flags: '--rows-per-second <n>', description: 'no faster than this' })
  parseRowsPerSecond(value: string): number {
    return count('--rows-per-second', value, 10_000_000);
  }

  /** @param what  was done to how many rows: `given their cells` */
  protected async eachTable(options: PlaintextCommandOptions, what: string, work: Work): Promise<void> {
    const { rowsPerSecond, table } = options;
    await this.withLifecycle(options, async (lifecycle, signal) => {
      const moving = new Set((await lifecycle.plan()).map(({ tableId }) => tableId));
      const results: Backfill[] = [];
      for (const tableId of this.tables(lifecycle, options).filter((each) => table !== undefined || moving.has(each))) {
        const bar = new ProgressBar(tableId);
        const onProgress = ({ rows, ofRows }: { rows: number; ofRows: number }) => bar.show(rows, ofRows);
        try {
          results.push(await work(lifecycle, tableId, { rowsPerSecond, signal, onProgress }));
        } finally {
          bar.end();
        }
      }
      if (results.some(({ failed }) => failed > 0)) process.exitCode = 1;
      const text = results.flatMap((result) => describe(result, what));
      print(results, text.length === 0 ? ['no table has plaintext beside cells'] : text, options);
    });
  }
}

function describe({ tableId, changed, failed, failedKeys }: Backfill, what: string): string[] {
  const done = `${tableId}: ${changed.toLocaleString('en')} rows ${what}`;
  if (failed === 0) return [done];
  return [`${done}; ${failed} rows left as they are:`, ...failedKeys.map((key) => `  ${JSON.stringify(key)}`)];
}
