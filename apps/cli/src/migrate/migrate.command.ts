import { Command, Option } from 'nest-commander';
import { CeremonyCommand, type CeremonyOptions, hold, withRecoveryToken } from '../recovery/ceremony.command.js';

interface MigrateOptions extends CeremonyOptions {
  readonly from: string;
  readonly to: string;
  readonly dryRun?: boolean;
}

@Command({
  name: 'migrate',
  description:
    'Gives the keys of one fleet to another, wrapped all the way. Wants the recovery token of the first. Says first what it would do',
})
export class MigrateCommand extends CeremonyCommand {
  @Option({ flags: '--from <file>', description: 'the YAML file of the fleet that has the keys', required: true })
  parseFrom(value: string): string {
    return value;
  }

  /** In the place of --config. */
  @Option({ flags: '--to <file>', description: 'the YAML file of the fleet that gets them', required: true })
  override parseConfig(value: string): string {
    return value;
  }

  /** In the place of --plan. */
  @Option({ flags: '--dry-run', description: 'only say what would be done' })
  override parsePlan(): boolean {
    return true;
  }

  async run(_: string[], options: MigrateOptions): Promise<void> {
    const departure = await this.withHsm({ config: options.from }, (source) => source.departure());
    await this.withHsm({ config: options.to }, (destination) =>
      withRecoveryToken(options.recovery, async (token) => {
        await hold(await destination.custody.prepareArrival(departure, token), { ...options, plan: options.dryRun });
      }),
    );
  }
}
