import { Module } from '@nestjs/common';
import { Command } from 'nest-commander';
import { NounCommand } from '../noun.command.js';
import { AuditCheckpointCommand, AuditRunCommand } from './checkpoint.commands.js';
import { AuditExportCommand, AuditSearchCommand } from './search.commands.js';
import { AuditVerifyCommand } from './verify.command.js';

const verbs = [AuditVerifyCommand, AuditSearchCommand, AuditExportCommand, AuditCheckpointCommand, AuditRunCommand];

@Command({
  name: 'audit',
  description: 'The trail of who used which key: reads, proves and forwards it',
  subCommands: verbs,
})
export class AuditCommand extends NounCommand {}

@Module({ providers: [AuditCommand, ...verbs] })
export class AuditCommands {}
