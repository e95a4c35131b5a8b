import { Module } from '@nestjs/common';
import { verifyShreddingReceipt } from '@nest-hsm/data-encryption';
import { type SignedReceipt, verifyReceipt } from '@nest-hsm/hsm';
import { Command, CommandRunner, Option, SubCommand } from 'nest-commander';
import { shreddingLines } from '../data/shred.command.js';
import { CliError } from '../faults.js';
import { columns, HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { pem } from '../key/key-view.js';
import { NounCommand } from '../noun.command.js';
import { readArgument, receiptDirectory, writeReceipt } from './receipt-file.js';
import { describeReceipt, receiptLines } from './receipt-view.js';

@SubCommand({ name: 'list', description: 'Every receipt that is kept, and what it says' })
export class ReceiptListCommand extends HsmCommand {
  async run(_: string[], options: HsmCommandOptions): Promise<void> {
    const receipts = await this.withAnyHsm(options, (hsm) => hsm.receipts());
    const ordered = receipts.toSorted((a, b) => a.receipt.issued.localeCompare(b.receipt.issued));
    const rows = ordered.map(({ receipt: { key, state, issued, by }, signature }) => {
      return [key.label, state, issued, by.operator ?? by.client, signature === undefined ? 'no' : 'yes', key.id];
    });
    print(
      ordered.map(describeReceipt),
      columns([['LABEL', 'STATE', 'ISSUED', 'BY', 'SIGNED', 'ID'], ...rows]),
      options,
    );
  }
}

@SubCommand({
  name: 'export',
  arguments: '<id> <directory>',
  argsDescription: { id: 'of the key', directory: 'a new or empty one' },
  description: 'Writes the last receipt of a key as receipt.json and receipt.sig',
})
export class ReceiptExportCommand extends HsmCommand {
  async run([id, directory]: string[], options: HsmCommandOptions): Promise<void> {
    const receipts = await this.withAnyHsm(options, (hsm) => hsm.receipts());
    const last = receipts.findLast(({ receipt }) => receipt.key.id === id);
    if (last === undefined) throw new CliError('ERR_CLI_ARGUMENT', `receipt of key ${id}: want one, got none`);
    await receiptDirectory(directory);
    await writeReceipt(directory, last);
    print(describeReceipt(last), receiptLines(last), options);
  }
}

@SubCommand({
  name: 'key',
  description:
    'The public key that verifies receipts, as PEM: to be kept where nobody who can use the HSM can change it',
})
export class ReceiptKeyCommand extends HsmCommand {
  async run(_: string[], options: HsmCommandOptions): Promise<void> {
    const { publicKey } = await this.withHsm(options, (hsm) => hsm.receiptKey());
    const text = pem(publicKey as NonNullable<typeof publicKey>);
    print({ publicKey: text }, [text.trimEnd()], options);
  }
}

interface VerifyOptions {
  readonly key: string;
  readonly signature?: string;
  readonly json?: boolean;
}

@SubCommand({
  name: 'verify',
  arguments: '<file>',
  argsDescription: { file: 'receipt.json' },
  description: 'Whether a receipt is signed by that key, and what it says; without any HSM',
})
export class ReceiptVerifyCommand extends CommandRunner {
  override setCommand(command: CommandRunner['command']): this {
    return super.setCommand(command.allowExcessArguments(false));
  }

  @Option({ flags: '-k, --key <pem>', description: 'file with the public key, as it was pinned', required: true })
  parseKey(value: string): string {
    return value;
  }

  @Option({ flags: '-s, --signature <file>', description: 'default: the same name ending in .sig' })
  parseSignature(value: string): string {
    return value;
  }

  @Option({ flags: '--json', description: 'answer with one JSON document' })
  parseJson(): boolean {
    return true;
  }

  async run([file]: string[], options: VerifyOptions): Promise<void> {
    const text = await readArgument(file, 'a receipt');
    const signature = await readArgument(options.signature ?? file.replace(/(\.json)?$/, '.sig'), 'its signature');
    const publicKey = (await readArgument(options.key, 'a public key')).toString('utf8');
    if (isOfShredding(text)) {
      const shredding = verifyShreddingReceipt(text, signature, publicKey);
      const lines = shreddingLines({ receipt: shredding, text: text.toString('utf8'), signature });
      print({ receipt: shredding, signature: signature.toString('base64') }, lines, options);
      return;
    }
    const receipt = verifyReceipt(text, signature, publicKey);
    const verified: SignedReceipt = { receipt, text: text.toString('utf8'), signature };
    print(describeReceipt(verified), receiptLines(verified), options);
  }
}

/** Which of the two kinds of receipts a file says it is; what it says is believed when its signature has been verified. */
function isOfShredding(text: Buffer): boolean {
  return text.includes('"nest-hsm data shredding"');
}

const verbs = [ReceiptListCommand, ReceiptExportCommand, ReceiptKeyCommand, ReceiptVerifyCommand];

@Command({ name: 'receipt', description: 'Proofs that keys were destroyed and tenants shredded', subCommands: verbs })
export class ReceiptCommand extends NounCommand {}

@Module({ providers: [ReceiptCommand, ...verbs] })
export class ReceiptCommands {}
