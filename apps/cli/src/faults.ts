import { printable } from './printable.js';

/** What the command line itself refuses; every other code comes from a library. */
export const cliErrorCodes = [
  'ERR_CLI_ARGUMENT',
  'ERR_CLI_CONFIG',
  'ERR_CLI_INTERRUPTED',
  'ERR_CLI_NOT_CONFIRMED',
  'ERR_CLI_OUTPUT',
] as const;
export type CliErrorCode = (typeof cliErrorCodes)[number];

export class CliError extends Error {
  override readonly name = 'CliError';

  constructor(
    readonly code: CliErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Says a fault in one line on standard error, its stable code first, and makes the exit code 1. With --json the line is
 * `{ "error": { "code", "message" } }`. An error without a code is our bug and shows its stack.
 */
export function reportFault(error: Error): void {
  process.exitCode = 1;
  const code: unknown = 'code' in error ? error.code : undefined;
  if (typeof code !== 'string') {
    process.stderr.write(`${error.stack ?? error.message}\n`);
    return;
  }
  const message = printable(error.message.replaceAll(/\s*\n\s*/g, '; '));
  const asJson = process.argv.includes('--json');
  process.stderr.write(
    asJson ? `${JSON.stringify({ error: { code, message } })}\n` : `nest-hsm: ${code}: ${message}\n`,
  );
}

/** A command line that Commander does not understand, said as every other fault. It ends the process itself. */
export function reportUsage(text: string): void {
  reportFault(new CliError('ERR_CLI_ARGUMENT', text.trim().replace(/^error: /, '')));
}

/**
 * The answer could not be written: the disk is full. What a command does besides is done to its end, and it ends with 1. That
 * nobody reads any more (`| head`) is no fault.
 */
export function reportLostAnswer({ code }: NodeJS.ErrnoException): void {
  if (code === 'EPIPE') return;
  reportFault(new CliError('ERR_CLI_OUTPUT', `standard output: want to write to it, got ${code}`));
}
