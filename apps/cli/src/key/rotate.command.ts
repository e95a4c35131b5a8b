import type { Hsm, HsmKey } from '@nest-hsm/hsm';
import { Option, SubCommand } from 'nest-commander';
import { CliError } from '../faults.js';
import { HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { insteadOfRotation } from './ca-key.js';
import { describe } from './key-view.js';

interface RotateOptions extends HsmCommandOptions {
  readonly due?: boolean;
}

@SubCommand({
  name: 'rotate',
  arguments: '[label]',
  description:
    'Makes the next version of a key, which is used from then on; those before it stay. Not of a CA, whose key is its identity',
})
export class KeyRotateCommand extends HsmCommand {
  @Option({ flags: '--due', description: 'of each key that is older than the rotation of the configuration allows' })
  parseDue(): boolean {
    return true;
  }

  async run([label]: string[], options: RotateOptions): Promise<void> {
    if ((label === undefined) !== (options.due === true)) {
      throw new CliError('ERR_CLI_ARGUMENT', 'rotate: want a label, or --due');
    }
    const instead = await insteadOfRotation(options.config);
    const way = label === undefined ? undefined : instead(label);
    if (way !== undefined) throw new CliError('ERR_CLI_ARGUMENT', `rotate: want no key of a CA, got ${label}: ${way}`);
    const rotated = await this.withHsm(options, (hsm) =>
      label === undefined ? rotateDue(hsm, (each) => instead(each) === undefined) : rotateOne(hsm, label),
    );
    const lines = rotated.map(({ version, uri }) => `version ${version}: ${uri}`);
    print(rotated.map(describe), lines.length > 0 ? lines : ['no key is due'], options);
  }
}

async function rotateOne(hsm: Hsm, label: string): Promise<HsmKey[]> {
  return [await hsm.rotateKey(label)];
}

async function rotateDue(hsm: Hsm, mayBeRotated: (label: string) => boolean): Promise<HsmKey[]> {
  const rotated: HsmKey[] = [];
  for (const { key, isDue } of await hsm.keyAges())
    if (isDue && mayBeRotated(key.label)) rotated.push(await hsm.rotateKey(key.label));
  return rotated;
}
