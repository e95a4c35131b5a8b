import type { LogOutput } from '@nest-hsm/hsm';
import { type Logger, pino } from 'pino';

/** JSON lines. */
export function makeLogger(level: string, output: LogOutput): Logger {
  return pino({ level }, output);
}
