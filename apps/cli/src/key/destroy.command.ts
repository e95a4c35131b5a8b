import { Option, SubCommand } from 'nest-commander';
import { HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { describeReceipt, receiptLines } from '../receipt/receipt-view.js';
import { receiptDirectory, writeReceipt } from '../receipt/receipt-file.js';
import { operatorOf, operatorOption, type ReceiptOptions, receiptOption } from '../receipt/receipt-options.js';
import { confirmLabel } from './confirm-label.js';
import { findKey } from './key-view.js';

interface DestroyOptions extends HsmCommandOptions, ReceiptOptions {
  readonly confirm?: string;
}

@SubCommand({
  name: 'destroy',
  arguments: '<key>',
  argsDescription: { key: 'label (the newest version is destroyed) or pkcs11: URI' },
  description:
    'Destroys a key for good on every member, once its label is typed. Ends with 1 while a member or a backup may still have it',
})
export class KeyDestroyCommand extends HsmCommand {
  @Option({ flags: '--confirm <label>', description: 'the label again, instead of typing it' })
  parseConfirm(value: string): string {
    return value;
  }

  @Option(operatorOption)
  parseOperator(value: string): string {
    return value;
  }

  @Option(receiptOption)
  parseReceipt(value: string): string {
    return value;
  }

  async run([name]: string[], options: DestroyOptions): Promise<void> {
    const directory = options.receipt;
    const { key, receipt } = await this.withHsm(options, async (hsm) => {
      const found = await findKey(hsm, name);
      await confirmLabel(found.label, options.confirm);
      // Made before the key is gone, so that the proof has a place to go to.
      if (directory !== undefined) await receiptDirectory(directory);
      return {
        key: found,
        receipt: await hsm.destroyKey(found, { operator: operatorOf(options) }),
      };
    });
    if (receipt.receipt.state !== 'destroyed') process.exitCode = 1;
    // What became of the key is said, though the files of the receipt cannot be written.
    print({ uri: key.uri, ...describeReceipt(receipt) }, receiptLines(receipt, key.uri), options);
    if (directory !== undefined) await writeReceipt(directory, receipt);
  }
}
