import { Module } from '@nestjs/common';
import { RootCommand } from 'nest-commander';
import { AgentCommand } from './agent/agent.command.js';
import { CaCommands } from './ca/ca.commands.js';
import {
  KeyCommand,
  KeyDestroyCommand,
  KeyGenerateCommand,
  KeyListCommand,
  KeyShowCommand,
} from './key/key.commands.js';
import { FleetInitCommand } from './fleet/init.command.js';
import { FleetCommand, FleetEnrolCommand, FleetStatusCommand } from './fleet/fleet.commands.js';
import { NounCommand } from './noun.command.js';
import { TokenCommands } from './token/token.commands.js';

/** `nest-hsm` alone says what it can do. */
@RootCommand({ name: 'nest-hsm', description: 'Looks after HSM tokens and their keys, and the CA that uses them.' })
class NestHsmCommand extends NounCommand {}

@Module({
  imports: [CaCommands, TokenCommands],
  providers: [
    NestHsmCommand,
    AgentCommand,
    FleetCommand,
    FleetStatusCommand,
    FleetEnrolCommand,
    FleetInitCommand,
    KeyCommand,
    KeyListCommand,
    KeyShowCommand,
    KeyGenerateCommand,
    KeyDestroyCommand,
  ],
})
export class CliModule {}
