import { Module } from '@nestjs/common';
import { Command, Option, SubCommand } from 'nest-commander';
import { confirmPlan } from '../confirm-plan.js';
import { CliError } from '../faults.js';
import { columns, HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { NounCommand } from '../noun.command.js';
import { BackupRestoreCommand } from './restore.command.js';
import { BackupVerifyCommand } from './verify.command.js';

interface CreateOptions extends HsmCommandOptions {
  readonly output: string;
}

interface RetireOptions extends HsmCommandOptions {
  readonly yes?: boolean;
}

@SubCommand({ name: 'create', description: 'Every wrapped key in one new file, signed by the HSM' })
export class BackupCreateCommand extends HsmCommand {
  @Option({ flags: '-o, --output <file>', description: 'a file that is not there yet', required: true })
  parseOutput(value: string): string {
    return value;
  }

  async run(_: string[], options: CreateOptions): Promise<void> {
    const summary = await this.withHsm(options, (hsm) => hsm.custody.createBackup(options.output));
    const { number, sha256, keys, absent, publicKey, fingerprint } = summary;
    const missing = absent.map(({ label, algorithm, id, why }) => [label, algorithm, id, why]);
    print(
      { ...summary, keys: keys.map(({ id, label, algorithm }) => ({ id, label, algorithm })) },
      [
        `backup ${number} of ${keys.length} keys in ${options.output}`,
        `SHA-256      ${sha256}`,
        `signed by    ${fingerprint}`,
        ...publicKey.trimEnd().split('\n'),
        ...(missing.length === 0
          ? []
          : ['', 'not in it:', ...columns([['LABEL', 'ALGORITHM', 'ID', 'WHY'], ...missing])]),
      ],
      options,
    );
  }
}

@SubCommand({ name: 'list', description: 'The backups that were made, wherever their files are now' })
export class BackupListCommand extends HsmCommand {
  async run(_: string[], options: HsmCommandOptions): Promise<void> {
    const { entries, minimum } = await this.withHsm(options, async ({ custody }) => {
      return { entries: await custody.backups(), minimum: (await custody.backupState()).minimum };
    });
    const rows = entries.map(({ number, created, sha256, keys }) => {
      return [String(number), created, String(keys.length), sha256, number < minimum ? 'retired' : ''];
    });
    print({ minimum, backups: entries }, columns([['NUMBER', 'CREATED', 'KEYS', 'SHA-256', ''], ...rows]), options);
  }
}

@SubCommand({
  name: 'retire',
  arguments: '<number>',
  argsDescription: { number: 'the first backup that is still to be accepted' },
  description:
    'Has all backups before this one refused from now on, which cannot be taken back. Says first which are left',
})
export class BackupRetireCommand extends HsmCommand {
  @Option({ flags: '-y, --yes', description: 'do it without asking' })
  parseYes(): boolean {
    return true;
  }

  async run([text]: string[], options: RetireOptions): Promise<void> {
    const number = Number(text);
    if (!/^\d{1,15}$/.test(text) || number < 1) {
      throw new CliError('ERR_CLI_ARGUMENT', `number: want that of a backup, got ${text}`);
    }
    const minimum = await this.withHsm(options, async ({ custody }) => {
      if (options.yes !== true) {
        const left = (await custody.backups()).filter((backup) => backup.number >= number);
        const named = left.map((backup) => `backup ${backup.number} of ${backup.created}`).join(', ');
        process.stderr.write(`left of the backups that are known here: ${named || 'none'}\n`);
        await confirmPlan();
      }
      await custody.retireBackups(number);
      return (await custody.backupState()).minimum;
    });
    print({ minimum }, [`backups before number ${minimum} are refused`], options);
  }
}

@SubCommand({
  name: 'state',
  description:
    'What to keep where neither the backups nor the keyring are: for `backup restore --state` when the keyring is lost',
})
export class BackupStateCommand extends HsmCommand {
  async run(_: string[], options: HsmCommandOptions): Promise<void> {
    const state = await this.withHsm(options, (hsm) => hsm.custody.backupState());
    print(state, [], { json: true });
  }
}

const subCommands = [
  BackupCreateCommand,
  BackupVerifyCommand,
  BackupRestoreCommand,
  BackupListCommand,
  BackupRetireCommand,
  BackupStateCommand,
];

@Command({ name: 'backup', description: 'Wrapped keys in a file, and back again with the recovery token', subCommands })
class BackupCommand extends NounCommand {}

@Module({ providers: [BackupCommand, ...subCommands] })
export class BackupCommands {}
