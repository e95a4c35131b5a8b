import type { SignedShreddingReceipt, WaitedProcess } from '@nest-hsm/data-encryption';
import { Option, SubCommand } from 'nest-commander';
import { printable } from '../printable.js';
import { print } from '../hsm.command.js';
import { confirmLabel } from '../key/confirm-label.js';
import { receiptDirectory, writeReceipt } from '../receipt/receipt-file.js';
import { operatorOf, operatorOption, type ReceiptOptions, receiptOption } from '../receipt/receipt-options.js';
import { DataCommand, type DataCommandOptions } from './data.command.js';

interface ShredCommandOptions extends DataCommandOptions, ReceiptOptions {
  readonly tenant: string;
  readonly confirm?: string;
  readonly destroySharedKek?: boolean;
}

@SubCommand({
  name: 'shred',
  description:
    "Shreds a tenant's or subject's data for good: no process and no copy of the database can read it, once its name is typed. " +
    'Ended anywhere, it goes on when called again. Ends with 1 while a member or a backup could bring a KEK back',
})
export class DataShredCommand extends DataCommand {
  @Option({ flags: '--tenant <name>', description: 'the tenant or subject', required: true })
  parseTenant(value: string): string {
    return value;
  }

  @Option({ flags: '--confirm <name>', description: 'the name again, instead of typing it' })
  parseConfirm(value: string): string {
    return value;
  }

  @Option({
    flags: '--destroy-shared-kek',
    description:
      'where tenants have no KEKs of their own: puts the data keys of all others under a new version of the KEK and destroys the old ones. ' +
      'Other databases under it, and every older backup of this one, are lost',
  })
  parseDestroySharedKek(): boolean {
    return true;
  }

  @Option(operatorOption)
  parseOperator(value: string): string {
    return value;
  }

  @Option(receiptOption)
  parseReceipt(value: string): string {
    return value;
  }

  async run(_: string[], options: ShredCommandOptions): Promise<void> {
    const { tenant, destroySharedKek, receipt: directory } = options;
    await this.withLifecycle(options, async (lifecycle, signal) => {
      await confirmLabel(tenant, options.confirm, `what "${tenant}" has`);
      // Made before the keys are gone, so that the proof has a place to go to.
      if (directory !== undefined) await receiptDirectory(directory);
      const operator = operatorOf(options);
      const signed = await lifecycle.shred(tenant, { operator, destroySharedKek, signal, onWaiting: reportWaiting() });
      if (signed.receipt.state !== 'shredded') process.exitCode = 1;
      const { receipt, signature } = signed;
      // What became of the keys is said, though the files of the receipt cannot be written.
      print({ receipt, signature: signature?.toString('base64') }, shreddingLines(signed), options);
      if (directory !== undefined) await writeReceipt(directory, signed);
    });
  }
}

/** Says who is waited for whenever that changes. */
function reportWaiting(): (processes: readonly WaitedProcess[]) => void {
  let said = '';
  return (processes) => {
    const names = processes.map(({ host, pid }) => `${pid} on ${printable(host)}`).join(', ');
    if (names !== said) process.stderr.write(`waiting for process ${names} to forget the keys\n`);
    said = names;
  };
}

/** What a receipt says, in the order in which one wants to know it. */
export function shreddingLines({ receipt, signature }: SignedShreddingReceipt): string[] {
  const { state, tenant, database, dataKeys, processes, keks, signer } = receipt;
  return [
    `${state} ${tenant} in ${database} (${dataKeys} data keys)`,
    `  ${processes.acknowledged} processes have forgotten them, ${processes.silent} were silent for longer than they could use them`,
    ...keks.flatMap((kek) => [
      `  KEK ${kek.label} ${kek.id}: ${kek.state}${kek.backups === 'unknown' ? ', backups unknown' : ''}`,
      ...kek.restorable.map((backup) => `    could be restored from ${backup}`),
    ]),
    signature === undefined
      ? '  not signed: the receipt key could not be used; it is signed when the command is called again'
      : `  signed by the key of SHA-256 ${signer}`,
  ];
}
