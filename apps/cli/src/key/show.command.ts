import { SubCommand } from 'nest-commander';
import { CliError } from '../faults.js';
import { HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { describe, findKey, pem } from './key-view.js';

@SubCommand({
  name: 'show',
  arguments: '<key>',
  argsDescription: { key: 'label (the newest version is shown) or pkcs11: URI' },
  description: 'The public key as PEM',
})
export class KeyShowCommand extends HsmCommand {
  async run([name]: string[], options: HsmCommandOptions): Promise<void> {
    const key = await this.withHsm(options, (hsm) => findKey(hsm, name));
    const { publicKey } = key;
    if (!publicKey)
      throw new CliError(
        'ERR_CLI_ARGUMENT',
        `key ${key.label}: want a key pair, got ${key.algorithm}, which has no public half`,
      );
    print(describe(key), [pem(publicKey).trimEnd()], options);
  }
}
