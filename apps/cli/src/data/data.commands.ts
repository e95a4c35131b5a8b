import { Module } from '@nestjs/common';
import { Command } from 'nest-commander';
import { NounCommand } from '../noun.command.js';
import { DataBackfillCommand } from './backfill.command.js';
import { DataContractCommand } from './contract.command.js';
import { DataPlanCommand } from './plan.command.js';
import { DataReencryptCommand } from './reencrypt.command.js';
import { DataRewrapCommand } from './rewrap.command.js';
import { DataRotateCommand } from './rotate.command.js';
import { DataShredCommand } from './shred.command.js';
import { DataStatusCommand } from './status.command.js';
import { DataVerifyCommand } from './verify.command.js';

const verbs = [
  DataStatusCommand,
  DataRotateCommand,
  DataReencryptCommand,
  DataRewrapCommand,
  DataVerifyCommand,
  DataShredCommand,
  DataPlanCommand,
  DataBackfillCommand,
  DataContractCommand,
];

@Command({ name: 'data', description: 'Encrypted columns and their keys', subCommands: verbs })
export class DataNounCommand extends NounCommand {}

@Module({ providers: [DataNounCommand, ...verbs] })
export class DataCommands {}
