import { Module } from '@nestjs/common';
import { Command } from 'nest-commander';
import { NounCommand } from '../noun.command.js';
import { TlsCsrCommand } from './csr.command.js';

@Command({
  name: 'tls',
  description: 'Certificates of servers and clients whose keys are on the token',
  subCommands: [TlsCsrCommand],
})
export class TlsNounCommand extends NounCommand {}

@Module({ providers: [TlsNounCommand, TlsCsrCommand] })
export class TlsCommands {}
