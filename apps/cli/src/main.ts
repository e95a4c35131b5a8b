import 'reflect-metadata';
import { CommandFactory } from 'nest-commander';
import { CliModule } from './cli.module.js';
import { passOverClosedPipe, reportFault, reportUsage } from './faults.js';

process.stdout.on('error', passOverClosedPipe);

await CommandFactory.run(await CliModule.of(process.argv.slice(2)), {
  logger: ['error', 'fatal'],
  cliName: 'nest-hsm',
  serviceErrorHandler: reportFault,
  outputConfiguration: { outputError: reportUsage },
});
