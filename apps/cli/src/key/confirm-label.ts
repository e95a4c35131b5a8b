import { ask } from '../ask.js';
import { CliError } from '../faults.js';

/**
 * What cannot be undone is done only once its name has been given a second time.
 * @param given  from the command line; asked for on the terminal when absent
 * @param what  is destroyed
 * @throws {CliError} ERR_CLI_NOT_CONFIRMED
 */
export async function confirmLabel(label: string, given: string | undefined, what = `key "${label}"`): Promise<void> {
  const text = `This destroys ${what} for good. Type ${label} to go on: `;
  const answer = given ?? (await ask({ text, instead: `--confirm ${label}`, undone: 'nothing was destroyed' }));
  if (answer !== label)
    throw new CliError('ERR_CLI_NOT_CONFIRMED', `want the label "${label}", got "${answer}": nothing was destroyed`);
}
