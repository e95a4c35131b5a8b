import { Module } from '@nestjs/common';
import { Command } from 'nest-commander';
import { NounCommand } from '../noun.command.js';
import { KeyDestroyCommand } from './destroy.command.js';
import { KeyGenerateCommand } from './generate.command.js';
import { KeyListCommand } from './list.command.js';
import { KeyRotateCommand } from './rotate.command.js';
import { KeyShowCommand } from './show.command.js';

const verbs = [KeyListCommand, KeyShowCommand, KeyGenerateCommand, KeyRotateCommand, KeyDestroyCommand];

@Command({ name: 'key', description: 'Keys on the token', subCommands: verbs })
export class KeyCommand extends NounCommand {}

@Module({ providers: [KeyCommand, ...verbs] })
export class KeyCommands {}
