import { ask } from './ask.js';
import { CliError } from './faults.js';

/**
 * A plan that was printed is carried out only once somebody said so.
 * @throws {CliError} ERR_CLI_NOT_CONFIRMED
 */
export async function confirmPlan(): Promise<void> {
  const answer = await ask({ text: 'Type yes to do this: ', instead: '--yes', undone: 'nothing was done' });
  if (answer !== 'yes') throw new CliError('ERR_CLI_NOT_CONFIRMED', `want "yes", got "${answer}": nothing was done`);
}
