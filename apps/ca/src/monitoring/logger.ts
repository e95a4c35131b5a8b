import { type Logger, pino } from 'pino';

/** JSON lines on standard output. */
export function makeLogger(level: string): Logger {
  return pino({ level });
}
