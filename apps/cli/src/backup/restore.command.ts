import { readFile } from 'node:fs/promises';
import { type BackupState, backupStateSchema, readBackup, type VerifiedBackup } from '@nest-hsm/hsm';
import { Option, SubCommand } from 'nest-commander';
import { CliError } from '../faults.js';
import type { HsmCommandOptions } from '../hsm.command.js';
import { CeremonyCommand, type CeremonyOptions, hold, withRecoveryToken } from '../recovery/ceremony.command.js';
import { parseFingerprint, signerOf, type SignerOptions } from './signer.js';

interface RestoreOptions extends HsmCommandOptions, CeremonyOptions, SignerOptions {
  readonly state?: string;
}

@SubCommand({
  name: 'restore',
  arguments: '<file>',
  description: 'Brings the keys of a backup back. Wants the recovery token. Says first what it would do',
})
export class BackupRestoreCommand extends CeremonyCommand {
  @Option({ flags: '-k, --key <file>', description: 'PEM of the public key that signed it' })
  parseKey(value: string): string {
    return value;
  }

  @Option({ flags: '--fingerprint <hex>', description: 'or its fingerprint' })
  parseFingerprint(value: string): string {
    return parseFingerprint(value);
  }

  @Option({ flags: '--state <file>', description: 'what `backup state` printed last, when the keyring is lost' })
  parseState(value: string): string {
    return value;
  }

  async run([file]: string[], options: RestoreOptions): Promise<void> {
    // All of it, before any HSM is asked.
    const backup = await readBackup(file, await signerOf(options));
    const state = options.state === undefined ? undefined : await readState(options.state);
    await this.withHsm(options, (hsm) =>
      withRecoveryToken(options.recovery, async (token) => {
        await hold(await hsm.custody.prepareRestore(backup, token, state), options, heading(backup));
      }),
    );
  }
}

function heading({ manifest: { number, fleet, created }, sha256 }: VerifiedBackup): string[] {
  return [`backup ${number} of "${fleet}", ${created}`, `SHA-256 ${sha256}`, ''];
}

/** @throws {CliError} ERR_CLI_ARGUMENT */
async function readState(file: string): Promise<BackupState> {
  try {
    return backupStateSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    throw new CliError('ERR_CLI_ARGUMENT', `--state: want what \`backup state\` printed, got ${file}`);
  }
}
