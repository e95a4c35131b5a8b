import { type ApiTokenView, ApiTokens, openCaDatabase, type Scope, scopes, TypeOrmApiTokenStore } from '@nest-hsm/ca';
import { CommandRunner, Option, SubCommand } from 'nest-commander';
import { CliError } from '../faults.js';
import { columns, print } from '../hsm.command.js';
import { NounCommand } from '../noun.command.js';
import { readCaFile } from './config.js';

const defaultDays = 90;
const dayMilliseconds = 86_400_000;

interface TokenCommandOptions {
  readonly config: string;
  readonly json?: boolean;
}

/** A command about API tokens: it needs the CA's database, and no HSM. */
abstract class TokenCommand extends CommandRunner {
  override setCommand(command: CommandRunner['command']): this {
    return super.setCommand(command.allowExcessArguments(false));
  }

  @Option({ flags: '-c, --config <file>', description: "the CA's YAML file; its database is used", required: true })
  parseConfig(value: string): string {
    return value;
  }

  @Option({ flags: '--json', description: 'answer with one JSON document' })
  parseJson(): boolean {
    return true;
  }

  protected async withTokens<T>({ config }: TokenCommandOptions, work: (tokens: ApiTokens) => Promise<T>): Promise<T> {
    const { database } = await readCaFile(config);
    const dataSource = await openCaDatabase(database);
    try {
      return await work(new ApiTokens(new TypeOrmApiTokenStore(dataSource)));
    } finally {
      await dataSource.destroy();
    }
  }
}

interface CreateOptions extends TokenCommandOptions {
  readonly name: string;
  readonly scope: Scope[];
  readonly profile?: string[];
  readonly days?: number;
}

@SubCommand({ name: 'create', description: 'Makes an API token and prints it, this once' })
export class CaTokenCreateCommand extends TokenCommand {
  @Option({ flags: '-n, --name <name>', description: 'whom it is for; the requester is token:NAME', required: true })
  parseName(value: string): string {
    return value;
  }

  @Option({
    flags: '-s, --scope <scope>',
    description: `what it may do, again for each (${scopes.join(', ')})`,
    required: true,
  })
  parseScope(value: string, before: Scope[] = []): Scope[] {
    const scope = scopes.find((each) => each === value);
    if (scope === undefined)
      throw new CliError('ERR_CLI_ARGUMENT', `scope: want one of ${scopes.join(', ')}, got ${value}`);
    return [...before, scope];
  }

  @Option({ flags: '-p, --profile <profile>', description: 'a profile it may ask for, again for each; default: any' })
  parseProfile(value: string, before: string[] = []): string[] {
    return [...before, value];
  }

  @Option({ flags: '-d, --days <days>', description: `when it ends, at most 366; default: ${defaultDays}` })
  parseDays(value: string): number {
    if (!/^[1-9]\d{0,2}$/.test(value)) throw new CliError('ERR_CLI_ARGUMENT', `days: want 1 to 366, got ${value}`);
    return Number(value);
  }

  async run(_: string[], options: CreateOptions): Promise<void> {
    const { name, scope, profile, days = defaultDays } = options;
    const expiresAt = new Date(Date.now() + days * dayMilliseconds);
    const request = { name, scopes: scope, profiles: profile, expiresAt, createdBy: 'nest-hsm' };
    const made = await this.withTokens(options, (tokens) => tokens.create(request));
    // The token alone on standard output, so that it can be sent into a file.
    process.stderr.write(options.json ? '' : `token ${made.id} of ${made.name}, until ${expiresAt.toISOString()}\n`);
    print(made, [made.token], options);
  }
}

@SubCommand({ name: 'list', description: 'Every API token that was made, without the tokens themselves' })
export class CaTokenListCommand extends TokenCommand {
  async run(_: string[], options: TokenCommandOptions): Promise<void> {
    const tokens = await this.withTokens(options, (each) => each.list());
    const rows = tokens.map((token) => [
      token.id,
      token.name,
      stateOf(token),
      token.scopes.join(' '),
      token.profiles?.join(' ') ?? 'any',
    ]);
    print({ tokens }, columns([['id', 'name', 'state', 'scopes', 'profiles'], ...rows]), options);
  }
}

@SubCommand({ name: 'revoke', arguments: '<id>', description: 'Ends an API token at once' })
export class CaTokenRevokeCommand extends TokenCommand {
  async run([id]: string[], options: TokenCommandOptions): Promise<void> {
    await this.withTokens(options, (tokens) => tokens.revoke(id));
    print({ id, state: 'revoked' }, [`${id} revoked`], options);
  }
}

function stateOf({ expiresAt, revokedAt }: ApiTokenView): string {
  if (revokedAt !== undefined) return `revoked ${revokedAt.toISOString()}`;
  return `${expiresAt > new Date() ? 'until' : 'expired'} ${expiresAt.toISOString()}`;
}

export const caTokenVerbs = [CaTokenCreateCommand, CaTokenListCommand, CaTokenRevokeCommand];

@SubCommand({ name: 'token', description: 'API tokens of the certificate authority', subCommands: caTokenVerbs })
export class CaTokenCommand extends NounCommand {}
