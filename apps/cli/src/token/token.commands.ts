import { Module } from '@nestjs/common';
import { Command, SubCommand } from 'nest-commander';
import { columns, HsmCommand, type HsmCommandOptions, print } from '../hsm.command.js';
import { NounCommand } from '../noun.command.js';
import { TokenBenchCommand } from './bench/bench.command.js';
import { TokenPinChangeCommand, TokenPinCommand, TokenPinResetCommand } from './pin.commands.js';
import { TokenRevokeCommand } from './revoke.command.js';
import { TokenStatusCommand } from './status.command.js';

@SubCommand({ name: 'info', description: 'What each token says about itself, and what it can do' })
export class TokenInfoCommand extends HsmCommand {
  async run(_: string[], options: HsmCommandOptions): Promise<void> {
    const members = await this.withHsm(options, (hsm) => Promise.resolve(hsm.members));
    const described = members.map(({ name, state, token }) => ({ member: name, state, ...token }));
    const rows = described.flatMap(({ mechanisms = [], pinWarnings = [], ...facts }) => [
      ...Object.entries(facts).map(([name, value]) => [name, String(value)]),
      ['mechanisms', mechanisms.join(', ')],
      ['PIN', pinWarnings.length === 0 ? 'no warnings' : pinWarnings.join(', ')],
    ]);
    print(described, columns(rows), options);
  }
}

@Command({
  name: 'token',
  description: 'The token itself',
  subCommands: [TokenInfoCommand, TokenStatusCommand, TokenPinCommand, TokenRevokeCommand, TokenBenchCommand],
})
export class TokenCommand extends NounCommand {}

@Module({
  providers: [
    TokenCommand,
    TokenInfoCommand,
    TokenStatusCommand,
    TokenPinCommand,
    TokenPinChangeCommand,
    TokenPinResetCommand,
    TokenRevokeCommand,
    TokenBenchCommand,
  ],
})
export class TokenCommands {}
