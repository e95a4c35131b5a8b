import type { Reencryption } from '@nest-hsm/data-encryption';
import { Option, SubCommand } from 'nest-commander';
import { print } from '../hsm.command.js';
import { count, TableCommand, type TableCommandOptions } from './data.command.js';
import { ProgressBar } from './progress-bar.js';

interface ReencryptCommandOptions extends TableCommandOptions {
  readonly workers?: number;
  readonly rowsPerSecond?: number;
}

@SubCommand({
  name: 'reencrypt',
  description:
    'Encrypts every cell with the data key in use, while the application goes on. Ended anywhere, it goes on when called again',
})
export class DataReencryptCommand extends TableCommand {
  @Option({ flags: '--workers <n>', description: 'connections at a time, on PostgreSQL (1)' })
  parseWorkers(value: string): number {
    return count('--workers', value, 64);
  }

  @Option({ flags: '--rows-per-second <n>', description: 'no faster than this' })
  parseRowsPerSecond(value: string): number {
    return count('--rows-per-second', value, 10_000_000);
  }

  async run(_: string[], options: ReencryptCommandOptions): Promise<void> {
    await this.withLifecycle(options, async (lifecycle, signal) => {
      const results: Reencryption[] = [];
      for (const tableId of this.tables(lifecycle, options)) {
        const bar = new ProgressBar(tableId);
        const { workers, rowsPerSecond } = options;
        const onProgress = ({ rows, ofRows }: { rows: number; ofRows: number }) => bar.show(rows, ofRows);
        try {
          results.push(await lifecycle.reencrypt(tableId, { workers, rowsPerSecond, signal, onProgress }));
        } finally {
          bar.end();
        }
      }
      if (results.some(({ failed }) => failed > 0)) process.exitCode = 1;
      print(results, results.flatMap(describe), options);
    });
  }
}

function describe({ tableId, replaced, failed, failedKeys }: Reencryption): string[] {
  const done = `${tableId}: ${replaced.toLocaleString('en')} cells encrypted anew, none left on another key`;
  if (failed === 0) return [done];
  const rows = failedKeys.map((key) => `  ${JSON.stringify(key)}`);
  return [`${done} but in ${failed} rows that do not decrypt, left as they are:`, ...rows];
}
