import { createInterface } from 'node:readline/promises';
import { CliError } from './faults.js';

/**
 * A plan that was printed is carried out only once somebody said so.
 * @throws {CliError} ERR_CLI_NOT_CONFIRMED
 */
export async function confirmPlan(): Promise<void> {
  const refusal = (want: string): CliError => new CliError('ERR_CLI_NOT_CONFIRMED', `${want}: nothing was done`);
  if (!process.stdin.isTTY) throw refusal('want a terminal to ask on, or --yes');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = (await terminal.question('Type yes to do this: ')).trim();
    if (answer !== 'yes') throw refusal(`want "yes", got "${answer}"`);
  } finally {
    terminal.close();
  }
}
