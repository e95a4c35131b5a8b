import 'reflect-metadata';
import { CommandFactory } from 'nest-commander';
import { CliModule } from './cli.module.js';
import { reportFault, reportLostAnswer, reportUsage } from './faults.js';

process.stdout.on('error', reportLostAnswer);
// A log on a full disk, or that nobody reads any more, must end no agent and no command half-way.
process.stderr.on('error', () => undefined);

await CommandFactory.run(await CliModule.of(process.argv.slice(2)), {
  logger: ['error', 'fatal'],
  cliName: 'nest-hsm',
  serviceErrorHandler: reportFault,
  outputConfiguration: { outputError: reportUsage },
});
