import { SubCommand } from 'nest-commander';
import { PlaintextCommand, type PlaintextCommandOptions } from './plaintext.command.js';

@SubCommand({
  name: 'backfill',
  description:
    'Gives every row what the application only writes: cells in the phase dual-write, plaintext in the phase switched. ' +
    'Ended anywhere, it goes on when called again',
})
export class DataBackfillCommand extends PlaintextCommand {
  async run(_: string[], options: PlaintextCommandOptions): Promise<void> {
    await this.eachTable(options, 'backfilled', (lifecycle, tableId, rest) => lifecycle.backfill(tableId, rest));
  }
}
