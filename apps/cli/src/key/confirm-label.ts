import { createInterface } from 'node:readline/promises';
import { CliError } from '../faults.js';

/**
 * What cannot be undone is done only once its name has been given a second time.
 * @param given  from the command line; asked for on the terminal when absent
 * @param what  is destroyed
 * @throws {CliError} ERR_CLI_NOT_CONFIRMED
 */
export async function confirmLabel(label: string, given: string | undefined, what = `key "${label}"`): Promise<void> {
  const answer = given ?? (await ask(label, what));
  if (answer !== label)
    throw new CliError('ERR_CLI_NOT_CONFIRMED', `want the label "${label}", got "${answer}": nothing was destroyed`);
}

async function ask(label: string, what: string): Promise<string> {
  if (!process.stdin.isTTY) {
    throw new CliError(
      'ERR_CLI_NOT_CONFIRMED',
      `want a terminal to ask on, or --confirm ${label}: nothing was destroyed`,
    );
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question(`This destroys ${what} for good. Type ${label} to go on: `)).trim();
  } finally {
    terminal.close();
  }
}
