import type { ConsistencyReport } from '@nest-hsm/hsm';
import { SubCommand } from 'nest-commander';
import { columns, HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';

@SubCommand({
  name: 'audit',
  description:
    'Compares the keys of all members, says what differs and how to mend it. Ends with 0 only when nothing does',
})
export class FleetAuditCommand extends HsmCommand {
  async run(_: string[], options: HsmCommandOptions): Promise<void> {
    const report = await this.withAnyHsm(options, (hsm) => hsm.checkConsistency());
    if (!report.isConsistent) process.exitCode = 1;
    print(report, lines(report), options);
  }
}

function lines({ isConsistent, members, keys, findings, foreign }: ConsistencyReport): string[] {
  const asked = members.map(({ member, objects, unreachable }) => [member, unreachable ?? `${objects} objects`]);
  const found = findings.flatMap(({ severity, key, members: on, what, mend }) => [
    [severity, key && `key "${key.label}" (${key.id})`, on.join(', '), what].filter(Boolean).join(': '),
    `  ${mend}`,
  ]);
  const others = foreign.map(
    ({ member, kind, label, id }) => `foreign: ${member}: ${kind} object "${label}" (${id || 'no id'})`,
  );
  const verdict = isConsistent ? `consistent: ${keys} keys` : `not consistent: ${keys} keys compared`;
  return [...columns([['MEMBER', 'HAS'], ...asked]), ...found, ...others, verdict];
}
