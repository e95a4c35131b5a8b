import { revokeTokenUser, tokenStatus } from '@nest-hsm/hsm';
import { Option, SubCommand } from 'nest-commander';
import { CliError } from '../faults.js';
import { print } from '../hsm.command.js';
import { MemberCommand, type MemberOptions } from './provisioning.command.js';
import { readProvisioningFile } from './provisioning-file.js';

interface RevokeOptions extends MemberOptions {
  readonly confirm: string;
}

@SubCommand({
  name: 'revoke',
  description: 'Takes the user PIN from a token: the security officer sets one that nobody knows. Its keys stay',
})
export class TokenRevokeCommand extends MemberCommand {
  @Option({ flags: '--confirm <label>', description: "the token's label, so that it is not another's", required: true })
  parseConfirm(value: string): string {
    return value;
  }

  async run(_: string[], options: RevokeOptions): Promise<void> {
    const { hsm, provisioning } = await readProvisioningFile(options.config);
    const status = (await tokenStatus(hsm, provisioning)).find(({ member }) => member === options.member);
    const label = status?.token?.label;
    if (label !== options.confirm) {
      const message = `want the label of the token of ${options.member}, "${label ?? 'none'}", got "${options.confirm}"`;
      throw new CliError('ERR_CLI_NOT_CONFIRMED', `${message}: nothing was done`);
    }
    await revokeTokenUser(hsm, provisioning, options.member);
    print(
      { member: options.member, token: label },
      [`revoked: nobody logs in to "${label}" as its user any more`],
      options,
    );
  }
}
