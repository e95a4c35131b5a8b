import type { Hsm, HsmKey, KeyAlgorithm, KeyUsage } from '@nest-hsm/hsm';
import { keyAlgorithms } from '@nest-hsm/hsm';
import { Option, SubCommand } from 'nest-commander';
import { CliError } from '../faults.js';
import { HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { describe } from './key-view.js';

interface GenerateOptions extends HsmCommandOptions {
  readonly algorithm: KeyAlgorithm;
  readonly usage?: KeyUsage;
}

const algorithms = Object.keys(keyAlgorithms) as KeyAlgorithm[];
const usages: readonly KeyUsage[] = ['sign', 'encrypt', 'wrap', 'mac', 'unwrap'];

@SubCommand({ name: 'generate', arguments: '<label>', description: 'Makes a key on the token that never leaves it' })
export class KeyGenerateCommand extends HsmCommand {
  @Option({ flags: '-a, --algorithm <name>', description: algorithms.join(', '), required: true })
  parseAlgorithm(value: string): KeyAlgorithm {
    return oneOf('--algorithm', algorithms, value);
  }

  @Option({
    flags: '-u, --usage <usage>',
    description: `${usages.join(', ')} (default: sign; for aes-256 encrypt, for hmac-sha256 mac)`,
  })
  parseUsage(value: string): KeyUsage {
    return oneOf('--usage', usages, value);
  }

  async run([label]: string[], options: GenerateOptions): Promise<void> {
    const key = await this.withHsm(options, (hsm) => generate(hsm, label, options));
    print(describe(key), [key.uri], options);
  }
}

/** Commander checks the choices of an option only where it also parses it. */
function oneOf<T extends string>(option: string, allowed: readonly T[], value: string): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined)
    throw new CliError('ERR_CLI_ARGUMENT', `${option}: want one of ${allowed.join(', ')}, got ${value}`);
  return found;
}

async function generate(hsm: Hsm, label: string, { algorithm, usage }: GenerateOptions): Promise<HsmKey> {
  // Two keys of one label are legal on a token and a trap for whoever looks one up.
  if ((await hsm.listKeys({ label })).length > 0)
    throw new CliError('ERR_CLI_ARGUMENT', `key ${label}: want a new label, got one that is there already`);
  const refuse = (allowed: readonly KeyUsage[]) =>
    new CliError('ERR_CLI_ARGUMENT', `--usage: want ${allowed.join(' or ')} for ${algorithm}, got ${usage}`);
  switch (algorithm) {
    case 'aes-256':
      if (usage !== undefined && usage !== 'encrypt' && usage !== 'wrap') throw refuse(['encrypt', 'wrap']);
      return hsm.generateSecretKey({ label, algorithm, usage: usage ?? 'encrypt' });
    case 'hmac-sha256':
      if (usage !== undefined && usage !== 'mac') throw refuse(['mac']);
      return hsm.generateSecretKey({ label, algorithm, usage: 'mac' });
    default:
      if (usage !== undefined && usage !== 'sign' && usage !== 'unwrap') throw refuse(['sign', 'unwrap']);
      return hsm.generateKeyPair({ label, algorithm, usage: usage ?? 'sign' });
  }
}
