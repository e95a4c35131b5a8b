import { readBackup } from '@nest-hsm/hsm';
import { CommandRunner, Option, SubCommand } from 'nest-commander';
import { columns, print } from '../hsm.command.js';
import { parseFingerprint, signerOf, type SignerOptions } from './signer.js';

interface VerifyOptions extends SignerOptions {
  readonly json?: boolean;
}

@SubCommand({
  name: 'verify',
  arguments: '<file>',
  description: 'Whether a backup is whole and signed by the key that you know. Needs no HSM',
})
export class BackupVerifyCommand extends CommandRunner {
  override setCommand(command: CommandRunner['command']): this {
    return super.setCommand(command.allowExcessArguments(false));
  }

  @Option({ flags: '-k, --key <file>', description: 'PEM of the public key that signed it' })
  parseKey(value: string): string {
    return value;
  }

  @Option({ flags: '--fingerprint <hex>', description: 'or its fingerprint' })
  parseFingerprint(value: string): string {
    return parseFingerprint(value);
  }

  @Option({ flags: '--json', description: 'answer with one JSON document' })
  parseJson(): boolean {
    return true;
  }

  async run([file]: string[], options: VerifyOptions): Promise<void> {
    const { manifest, sha256 } = await readBackup(file, await signerOf(options));
    const { number, fleet, created, keys } = manifest;
    const rows = keys.map(({ label, algorithm, id, generation }) => [label, algorithm, id, String(generation)]);
    print(
      { sha256, manifest },
      [
        `backup ${number} of "${fleet}", ${created}: whole, and signed by that key`,
        `SHA-256 ${sha256}`,
        '',
        ...columns([['LABEL', 'ALGORITHM', 'ID', 'GENERATION'], ...rows]),
      ],
      options,
    );
  }
}
