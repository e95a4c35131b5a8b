import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { CliError } from './faults.js';

export interface Question {
  readonly text: string;
  /** What gives the answer where there is no terminal, e.g. `--yes`. */
  readonly instead: string;
  /** What to say when there is no answer, e.g. `nothing was done`. */
  readonly undone: string;
}

/**
 * Asks whoever sits at the terminal.
 * @returns what was typed, without white space around it
 * @throws {CliError} ERR_CLI_NOT_CONFIRMED without a terminal, or when Ctrl-C or Ctrl-D is the answer
 */
export async function ask(
  { text, instead, undone }: Question,
  { stdin, stderr }: Pick<NodeJS.Process, 'stdin' | 'stderr'> = process,
): Promise<string> {
  const refusal = (message: string): CliError => new CliError('ERR_CLI_NOT_CONFIRMED', `${message}: ${undone}`);
  if (!stdin.isTTY) throw refusal(`want a terminal to ask on, or ${instead}`);
  const terminal = createInterface({ input: stdin, output: stderr });
  try {
    const left = once(terminal, 'close').then(() => undefined);
    // Node.js before 24 leaves a question that was left unanswered for ever, later ones reject it.
    const answer = await Promise.race([terminal.question(text).catch(() => undefined), left]);
    if (answer === undefined) throw refusal('want an answer, got none');
    return answer.trim();
  } finally {
    terminal.close();
  }
}
