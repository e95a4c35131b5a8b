import { type TokenState, type TokenStatus, tokenStatus } from '@nest-hsm/hsm';
import { SubCommand } from 'nest-commander';
import { columns, print } from '../hsm.command.js';
import { ProvisioningCommand, type ProvisioningOptions } from './provisioning.command.js';
import { readProvisioningFile } from './provisioning-file.js';

@SubCommand({
  name: 'status',
  description: 'Each token and the state of its PINs, without a login. Ends with 1 when something needs its operator',
})
export class TokenStatusCommand extends ProvisioningCommand {
  async run(_: string[], options: ProvisioningOptions): Promise<void> {
    const { hsm, provisioning } = await readProvisioningFile(options.config);
    const statuses = await tokenStatus(hsm, provisioning);
    const rows = statuses.map(({ member, token, isPinChangeUnfinished }) => [
      member,
      token?.label ?? 'none',
      token?.serial ?? '',
      describeUserPin(token, isPinChangeUnfinished),
      describePin(token?.securityOfficerPin),
    ]);
    print(statuses, columns([['MEMBER', 'TOKEN', 'SERIAL', 'USER PIN', 'SO PIN'], ...rows]), options);
    if (statuses.some(needsOperator)) process.exitCode = 1;
  }
}

function describeUserPin(token: TokenState | undefined, isUnfinished: boolean): string {
  if (token?.hasUserPin === false) return 'not set';
  const change = isUnfinished ? ['change unfinished'] : [];
  return [describePin(token?.userPin), ...change].filter(Boolean).join(', ');
}

/** In words what the flags say: CKF_USER_PIN_COUNT_LOW is "count low". */
function describePin(pin: TokenState['userPin'] | undefined): string {
  if (pin === undefined) return '';
  const warnings = pin.warnings.map((flag) =>
    flag
      .replace(/^CKF_(USER|SO)_PIN_/, '')
      .toLowerCase()
      .replaceAll('_', ' '),
  );
  const refused = pin.refusedAt === undefined ? [] : [`refused ${pin.refusedAt}`];
  return [...warnings, ...refused].join(', ') || 'set';
}

function needsOperator({ token, isPinChangeUnfinished }: TokenStatus): boolean {
  if (token === undefined || isPinChangeUnfinished || !token.hasUserPin) return true;
  return [token.userPin, token.securityOfficerPin].some(
    (pin) => pin.warnings.length > 0 || pin.refusedAt !== undefined,
  );
}
