import { type DynamicModule, Module } from '@nestjs/common';
import { RootCommand } from 'nest-commander';
import { AgentCommand } from './agent/agent.command.js';
import { BackupCommands } from './backup/backup.commands.js';
import { AuditCommands } from './audit/audit.commands.js';
import { KeyCommands } from './key/key.commands.js';
import { FleetAuditCommand } from './fleet/audit.command.js';
import { FleetInitCommand } from './fleet/init.command.js';
import { FleetCommand, FleetEnrolCommand, FleetStatusCommand } from './fleet/fleet.commands.js';
import { MigrateCommand } from './migrate/migrate.command.js';
import { NounCommand } from './noun.command.js';
import { RecoveryCommand, RecoveryInitCommand } from './recovery/recovery.commands.js';
import { FleetResyncCommand } from './recovery/resync.command.js';
import { TokenCommands } from './token/token.commands.js';

/** `nest-hsm` alone says what it can do. */
@RootCommand({
  name: 'nest-hsm',
  description: 'Looks after HSM tokens and their keys, and the CA, the TLS and the encrypted columns that use them.',
})
class NestHsmCommand extends NounCommand {}

@Module({
  imports: [AuditCommands, BackupCommands, KeyCommands, TokenCommands],
  providers: [
    NestHsmCommand,
    AgentCommand,
    FleetCommand,
    FleetStatusCommand,
    FleetEnrolCommand,
    FleetAuditCommand,
    FleetInitCommand,
    FleetResyncCommand,
    RecoveryCommand,
    RecoveryInitCommand,
    MigrateCommand,
  ],
})
export class CliModule {
  /**
   * With the commands of a library that brings much along (a database) only where its noun is called: it takes as long to load as
   * everything else. Where no noun is known all of them are there, to be listed.
   */
  static async of([noun]: readonly string[]): Promise<DynamicModule> {
    const isAsked = (name: string) => noun === name || !nouns.has(noun);
    const imports = [
      ...(isAsked('ca') ? [(await import('./ca/ca.commands.js')).CaCommands] : []),
      ...(isAsked('tls') ? [(await import('./tls/tls.commands.js')).TlsCommands] : []),
      ...(isAsked('data') ? [(await import('./data/data.commands.js')).DataCommands] : []),
      // Receipts of tenants that were shredded are the library's of encrypted columns.
      ...(isAsked('receipt') ? [(await import('./receipt/receipt.commands.js')).ReceiptCommands] : []),
    ];
    return { module: CliModule, imports };
  }
}

/** One that is missing here is only slower. */
const nouns: ReadonlySet<string | undefined> = new Set([
  'agent',
  'audit',
  'backup',
  'ca',
  'data',
  'fleet',
  'key',
  'migrate',
  'receipt',
  'recovery',
  'tls',
  'token',
]);
