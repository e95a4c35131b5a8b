import { CommandRunner, Option } from 'nest-commander';

export interface ProvisioningOptions {
  readonly config: string;
  readonly json?: boolean;
}

/** A command about whole tokens. It logs in to none as an application does, so it works on those that no application can use. */
export abstract class ProvisioningCommand extends CommandRunner {
  override setCommand(command: CommandRunner['command']): this {
    return super.setCommand(command.allowExcessArguments(false));
  }

  @Option({
    flags: '-c, --config <file>',
    description: 'a YAML file; its sections hsm and provisioning are used',
    required: true,
  })
  parseConfig(value: string): string {
    return value;
  }

  @Option({ flags: '--json', description: 'answer with one JSON document' })
  parseJson(): boolean {
    return true;
  }
}

/** A command about the token of one member. */
export abstract class MemberCommand extends ProvisioningCommand {
  @Option({ flags: '-m, --member <name>', description: 'whose token', required: true })
  parseMember(value: string): string {
    return value;
  }
}

export interface MemberOptions extends ProvisioningOptions {
  readonly member: string;
}
