import type { Hsm, HsmKey, KeyAlgorithm, KeyUsage } from '@nest-hsm/hsm';
import { keyAlgorithms } from '@nest-hsm/hsm';
import { Command, Option, SubCommand } from 'nest-commander';
import { CliError } from '../faults.js';
import { columns, HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { NounCommand } from '../noun.command.js';
import { confirmLabel } from './confirm-label.js';

@SubCommand({ name: 'list', description: 'Every key, and the members that have it' })
export class KeyListCommand extends HsmCommand {
  async run(_: string[], options: HsmCommandOptions): Promise<void> {
    const [found, isFleet] = await this.withHsm(options, async (hsm) => [await hsm.listKeys(), hsm.members.length > 1]);
    const keys = found.toSorted((a, b) => a.label.localeCompare(b.label));
    const rows = [
      ['LABEL', 'ALGORITHM', 'USAGE', 'ID', ...(isFleet ? ['MEMBERS'] : [])],
      ...keys.map(({ label, algorithm, usage, id, members }) => {
        return [label, algorithm, usage, id, ...(isFleet ? [members.join(' ')] : [])];
      }),
    ];
    print(keys.map(describe), columns(rows), options);
  }
}

@SubCommand({
  name: 'show',
  arguments: '<key>',
  argsDescription: { key: 'label or pkcs11: URI' },
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

interface DestroyOptions extends HsmCommandOptions {
  readonly confirm?: string;
}

@SubCommand({
  name: 'destroy',
  arguments: '<key>',
  argsDescription: { key: 'label or pkcs11: URI' },
  description: 'Destroys a key for good, once its label is typed',
})
export class KeyDestroyCommand extends HsmCommand {
  @Option({ flags: '--confirm <label>', description: 'the label again, instead of typing it' })
  parseConfirm(value: string): string {
    return value;
  }

  async run([name]: string[], options: DestroyOptions): Promise<void> {
    const { key, destroyedObjects } = await this.withHsm(options, async (hsm) => {
      const found = await findKey(hsm, name);
      await confirmLabel(found.label, options.confirm);
      return { key: found, destroyedObjects: await hsm.destroyKey(found) };
    });
    print({ ...describe(key), destroyedObjects }, [`destroyed ${key.uri} (${destroyedObjects} objects)`], options);
  }
}

@Command({
  name: 'key',
  description: 'Keys on the token',
  subCommands: [KeyListCommand, KeyShowCommand, KeyGenerateCommand, KeyDestroyCommand],
})
export class KeyCommand extends NounCommand {}

/** Commander checks the choices of an option only where it also parses it. */
function oneOf<T extends string>(option: string, allowed: readonly T[], value: string): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined)
    throw new CliError('ERR_CLI_ARGUMENT', `${option}: want one of ${allowed.join(', ')}, got ${value}`);
  return found;
}

function findKey(hsm: Hsm, name: string): Promise<HsmKey> {
  return hsm.findKey(name.startsWith('pkcs11:') ? name : { label: name });
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

/** What may be shown of a key: never a handle, never a secret. */
function describe({ label, algorithm, usage, id, uri, members, publicKey }: HsmKey): Record<string, unknown> {
  return { label, algorithm, usage, id, uri, members, ...(publicKey && { publicKey: pem(publicKey) }) };
}

const pem = (publicKey: NonNullable<HsmKey['publicKey']>): string =>
  publicKey.export({ type: 'spki', format: 'pem' }).toString();
