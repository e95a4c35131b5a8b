import type { Verification } from '@nest-hsm/data-encryption';
import { SubCommand } from 'nest-commander';
import { print } from '../hsm.command.js';
import { TableCommand, type TableCommandOptions } from './data.command.js';
import { ProgressBar } from './progress-bar.js';

@SubCommand({
  name: 'verify',
  description: 'Decrypts every cell in its own row and says which rows fail; values are not shown',
})
export class DataVerifyCommand extends TableCommand {
  async run(_: string[], options: TableCommandOptions): Promise<void> {
    await this.withLifecycle(options, async (lifecycle, signal) => {
      const results: Verification[] = [];
      for (const tableId of this.tables(lifecycle, options)) {
        const bar = new ProgressBar(tableId);
        try {
          const onProgress = ({ rows, ofRows }: { rows: number; ofRows: number }) => bar.show(rows, ofRows);
          results.push(await lifecycle.verify(tableId, { signal, onProgress }));
        } finally {
          bar.end();
        }
      }
      if (results.some(({ failed, misindexed, differing }) => failed + misindexed + differing > 0))
        process.exitCode = 1;
      const values = results.map((result) => ({ ...result, keys: Object.fromEntries(result.keys) }));
      print(values, results.flatMap(describe), options);
    });
  }
}

function describe(verification: Verification): string[] {
  const { tableId, rows, sound, keys, failed, failedKeys, shredded, misindexed, misindexedKeys } = verification;
  const { differing, differingKeys } = verification;
  return [
    `${tableId}: ${sound.toLocaleString('en')} cells in ${rows.toLocaleString('en')} rows decrypt, ${failed} rows do not`,
    ...[...keys].map(([key, cells]) => `  data key ${key}: ${cells.toLocaleString('en')} cells`),
    ...failedKeys.map((key) => `  row ${JSON.stringify(key)} does not decrypt`),
    ...(shredded === 0 ? [] : [`  ${shredded} rows are of tenants that were shredded`]),
    ...(misindexed === 0 ? [] : [`  ${misindexed} rows are not found by a search; nest-hsm data reencrypt mends them`]),
    ...misindexedKeys.map((key) => `  row ${JSON.stringify(key)} is not found by a search`),
    ...(differing === 0 ? [] : [`  ${differing} rows have another plaintext than cell`]),
    ...differingKeys.map((key) => `  row ${JSON.stringify(key)} has another plaintext than cell`),
  ];
}
