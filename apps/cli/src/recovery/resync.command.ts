import { SubCommand } from 'nest-commander';
import type { HsmCommandOptions } from '../hsm.command.js';
import { CeremonyCommand, type CeremonyOptions, hold, withRecoveryToken } from './ceremony.command.js';

@SubCommand({
  name: 'resync',
  description:
    'Gives members that joined late, or lost keys, those that they lack. Wants the recovery token. Says first what it would do',
})
export class FleetResyncCommand extends CeremonyCommand {
  async run(_: string[], options: HsmCommandOptions & CeremonyOptions): Promise<void> {
    await this.withHsm(options, (hsm) =>
      withRecoveryToken(options.recovery, async (token) => {
        await hold(await hsm.custody.prepareResync(token), options);
      }),
    );
  }
}
