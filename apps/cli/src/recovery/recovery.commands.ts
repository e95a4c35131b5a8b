import { Command, SubCommand } from 'nest-commander';
import { HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { NounCommand } from '../noun.command.js';
import { withRecoveryToken } from './ceremony.command.js';

@SubCommand({
  name: 'init',
  description: 'The recovery key of a recovery token: made where there is none. Prints what goes into recoveryKeys',
})
export class RecoveryInitCommand extends HsmCommand {
  async run(_: string[], options: HsmCommandOptions): Promise<void> {
    const key = await withRecoveryToken(options.config, (token) => token.makeKey());
    print(
      key,
      [...key.publicKey.trimEnd().split('\n'), '', `algorithm    ${key.algorithm}`, `fingerprint  ${key.fingerprint}`],
      options,
    );
  }
}

@Command({
  name: 'recovery',
  description: 'The recovery token, which brings keys back and is present only then',
  subCommands: [RecoveryInitCommand],
})
export class RecoveryCommand extends NounCommand {}
