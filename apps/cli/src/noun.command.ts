import { CommandRunner } from 'nest-commander';
import { CliError } from './faults.js';

/** A command that only has commands below it: alone it says which, and it refuses any other. */
export abstract class NounCommand extends CommandRunner {
  run([unknown]: string[]): Promise<void> {
    const verbs = this.command.commands.map((command) => command.name()).join(', ');
    if (unknown !== undefined) {
      throw new CliError('ERR_CLI_ARGUMENT', `${this.command.name()}: want one of ${verbs}, got ${unknown}`);
    }
    return Promise.resolve(this.command.help({ error: true }));
  }
}
