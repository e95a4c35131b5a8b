import { Option, SubCommand } from 'nest-commander';
import { confirmLabel } from '../key/confirm-label.js';
import { PlaintextCommand, type PlaintextCommandOptions } from './plaintext.command.js';

interface ContractCommandOptions extends PlaintextCommandOptions {
  readonly confirm?: string;
}

@SubCommand({
  name: 'contract',
  description: 'Erases plaintext that has an equal cell, in the phase contract. It cannot be undone',
})
export class DataContractCommand extends PlaintextCommand {
  @Option({ flags: '--confirm <table>', description: 'the logical name of the table again, instead of typing it' })
  parseConfirm(value: string): string {
    return value;
  }

  async run(_: string[], options: ContractCommandOptions): Promise<void> {
    await this.eachTable(options, 'rid of plaintext', async (lifecycle, tableId, rest) => {
      await confirmLabel(tableId, options.confirm, `the plaintext of table "${tableId}"`);
      return lifecycle.contract(tableId, rest);
    });
  }
}
