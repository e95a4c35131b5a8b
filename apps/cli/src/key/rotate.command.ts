import type { Hsm, HsmKey } from '@nest-hsm/hsm';
import { Option, SubCommand } from 'nest-commander';
import { CliError } from '../faults.js';
import { HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { describe } from './key-view.js';

interface RotateOptions extends HsmCommandOptions {
  readonly due?: boolean;
}

@SubCommand({
  name: 'rotate',
  arguments: '[label]',
  description: 'Makes the next version of a key, which is used from then on; those before it stay',
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
    const rotated = await this.withHsm(options, (hsm) =>
      label === undefined ? rotateDue(hsm) : rotateOne(hsm, label),
    );
    const lines = rotated.map(({ version, uri }) => `version ${version}: ${uri}`);
    print(rotated.map(describe), lines.length > 0 ? lines : ['no key is due'], options);
  }
}

async function rotateOne(hsm: Hsm, label: string): Promise<HsmKey[]> {
  return [await hsm.rotateKey(label)];
}

async function rotateDue(hsm: Hsm): Promise<HsmKey[]> {
  const rotated: HsmKey[] = [];
  for (const { key, isDue } of await hsm.keyAges()) if (isDue) rotated.push(await hsm.rotateKey(key.label));
  return rotated;
}
