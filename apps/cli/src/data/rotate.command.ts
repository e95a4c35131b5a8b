import { SubCommand } from 'nest-commander';
import { print } from '../hsm.command.js';
import { TableCommand, type TableCommandOptions } from './data.command.js';

@SubCommand({
  name: 'rotate',
  description: 'Gives tables a new data key, which is used from then on; reencrypt then leaves nothing to the old one',
})
export class DataRotateCommand extends TableCommand {
  async run(_: string[], options: TableCommandOptions): Promise<void> {
    await this.withLifecycle(options, async (lifecycle) => {
      const rotated: { tableId: string; dataKey: string }[] = [];
      for (const tableId of this.tables(lifecycle, options)) {
        rotated.push({ tableId, dataKey: await lifecycle.rotate(tableId) });
      }
      print(
        rotated,
        rotated.map(({ tableId, dataKey }) => `${tableId}: ${dataKey}`),
        options,
      );
    });
  }
}
