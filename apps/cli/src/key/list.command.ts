import type { KeyAge } from '@nest-hsm/hsm';
import { SubCommand } from 'nest-commander';
import { columns, HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { describe } from './key-view.js';

@SubCommand({
  name: 'list',
  description: 'Every key: its versions, their age, when the next is due, and the members that have it',
})
export class KeyListCommand extends HsmCommand {
  async run(_: string[], options: HsmCommandOptions): Promise<void> {
    const [found, isFleet] = await this.withHsm(options, async (hsm) => [await hsm.keyAges(), hsm.members.length > 1]);
    const ages = found.toSorted((a, b) => a.key.label.localeCompare(b.key.label) || b.key.version - a.key.version);
    const rows = [
      ['LABEL', 'VERSION', 'ALGORITHM', 'USAGE', 'AGE', 'DUE', 'ID', ...(isFleet ? ['MEMBERS'] : [])],
      ...ages.map((age) => {
        const { label, version, algorithm, usage, id, members } = age.key;
        return [
          label,
          String(version),
          algorithm,
          usage,
          ageOf(age),
          due(age),
          id,
          ...(isFleet ? [members.join(' ')] : []),
        ];
      }),
    ];
    const described = ages.map(({ key, ...age }) => ({ ...describe(key), ...age }));
    print(described, columns(rows), options);
  }
}

function ageOf({ ageDays }: KeyAge): string {
  return ageDays === undefined ? 'unknown' : `${ageDays}d`;
}

function due({ isDue, ageDays, maximumAgeDays }: KeyAge): string {
  if (isDue) return 'now';
  if (maximumAgeDays === undefined || ageDays === undefined) return '-';
  return `${maximumAgeDays - ageDays}d`;
}
