import { changeTokenPin, resetTokenPin } from '@nest-hsm/hsm';
import { Option, SubCommand } from 'nest-commander';
import { print } from '../hsm.command.js';
import { NounCommand } from '../noun.command.js';
import { MemberCommand, type MemberOptions } from './provisioning.command.js';
import { readProvisioningFile } from './provisioning-file.js';

interface NewPinOptions extends MemberOptions {
  readonly newPinFile?: string;
}

/** A command that gives a token a new PIN. */
abstract class NewPinCommand extends MemberCommand {
  @Option({ flags: '--new-pin-file <file>', description: 'a file (0600) with the new PIN; a random one when absent' })
  parseNewPinFile(value: string): string {
    return value;
  }
}

interface PinChangeOptions extends NewPinOptions {
  readonly so?: boolean;
}

@SubCommand({
  name: 'change',
  description: 'Gives a token another PIN and puts it into its PIN file. Run again, it finishes what was interrupted',
})
export class TokenPinChangeCommand extends NewPinCommand {
  @Option({ flags: '--so', description: "the security officer's PIN instead of the user's" })
  parseSo(): boolean {
    return true;
  }

  async run(_: string[], options: PinChangeOptions): Promise<void> {
    const { hsm, provisioning } = await readProvisioningFile(options.config);
    const { so, newPinFile, member } = options;
    const who = so === true ? 'security officer' : 'user';
    const outcome = await changeTokenPin(hsm, provisioning, member, { who, newPinFile });
    const what = outcome.wasInterrupted ? 'finished the change that was interrupted' : 'changed';
    const { members, oldPinFile } = outcome;
    const old =
      oldPinFile === undefined ? [] : [`the old one is in ${oldPinFile}: delete it when no other token has it`];
    print(outcome, [`${what}: PIN of the ${who} of ${members.join(', ')}`, ...old], options);
  }
}

@SubCommand({
  name: 'reset',
  description: 'Has the security officer set the user PIN anew: when it is revoked, locked or lost',
})
export class TokenPinResetCommand extends NewPinCommand {
  async run(_: string[], options: NewPinOptions): Promise<void> {
    const { hsm, provisioning } = await readProvisioningFile(options.config);
    await resetTokenPin(hsm, provisioning, options.member, options.newPinFile);
    print({ member: options.member }, [`set: PIN of the user of ${options.member}`], options);
  }
}

@SubCommand({ name: 'pin', description: 'PINs of tokens', subCommands: [TokenPinChangeCommand, TokenPinResetCommand] })
export class TokenPinCommand extends NounCommand {}
