import { z } from 'zod';
import { CliError } from '../faults.js';

const schema = z.iso.datetime({ offset: true }).regex(/T\d\d:\d\d:\d\d/);

/**
 * A time as RFC 3339 §5.6 has it: whole, to the second, with Z or an offset, so that it is the same moment on every machine.
 * @throws {CliError} ERR_CLI_ARGUMENT
 */
export function parseTime(flag: string, value: string): Date {
  if (schema.safeParse(value).success) return new Date(value);
  throw new CliError('ERR_CLI_ARGUMENT', `${flag}: want an RFC 3339 time, as 2027-03-01T00:00:00Z, got ${value}`);
}
