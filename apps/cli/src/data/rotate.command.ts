import { Option, SubCommand } from 'nest-commander';
import { CliError } from '../faults.js';
import { print } from '../hsm.command.js';
import { TableCommand, type TableCommandOptions } from './data.command.js';

interface RotateCommandOptions extends TableCommandOptions {
  readonly tenant?: string;
}

@SubCommand({
  name: 'rotate',
  description:
    'Gives tables, columns and tenants new data keys, which are used from then on; reencrypt then leaves nothing to the old ones',
})
export class DataRotateCommand extends TableCommand {
  @Option({ flags: '--tenant <name>', description: 'only the keys of this tenant' })
  parseTenant(value: string): string {
    return value;
  }

  async run(_: string[], options: RotateCommandOptions): Promise<void> {
    await this.withLifecycle(options, async (lifecycle) => {
      const rotated: { tableId: string; dataKey: string }[] = [];
      for (const tableId of this.tables(lifecycle, options)) {
        const dataKeys = await lifecycle.rotate(tableId, options.tenant);
        rotated.push(...dataKeys.map((dataKey) => ({ tableId, dataKey })));
      }
      if (rotated.length === 0 && options.tenant !== undefined)
        throw new CliError('ERR_CLI_ARGUMENT', `--tenant: want one that has data keys, got ${options.tenant}`);
      print(
        rotated,
        rotated.map(({ tableId, dataKey }) => `${tableId}: ${dataKey}`),
        options,
      );
    });
  }
}
