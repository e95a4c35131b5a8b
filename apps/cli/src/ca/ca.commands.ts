import { Module } from '@nestjs/common';
import { Command } from 'nest-commander';
import { NounCommand } from '../noun.command.js';
import { CeremonyCommand, ceremonyVerbs } from './ceremony.commands.js';
import { CaCrossSignCommand, CaCsrCommand, CaImportCommand } from './certification.commands.js';
import { CaInitCommand } from './init.command.js';
import { CaReconcileCommand } from './reconcile.command.js';
import { CaRolloverCommand } from './rollover.command.js';
import { CaSignClusterCsrCommand } from './sign-cluster-csr.command.js';
import { CaCrlCommand, CaRevokeCommand } from './status.commands.js';
import { CaTokenCommand, caTokenVerbs } from './token.commands.js';

const verbs = [
  CaInitCommand,
  CaCsrCommand,
  CaImportCommand,
  CaCrossSignCommand,
  CaRolloverCommand,
  CaReconcileCommand,
  CaRevokeCommand,
  CaCrlCommand,
  CaSignClusterCsrCommand,
  CaTokenCommand,
];

@Command({ name: 'ca', description: 'The certificate authority', subCommands: verbs })
export class CaCommand extends NounCommand {}

@Module({ providers: [CaCommand, ...verbs, ...caTokenVerbs, CeremonyCommand, ...ceremonyVerbs] })
export class CaCommands {}
