import type { Options } from 'pino-http';

/** JSON lines on standard output; what monitoring asks for is not logged. */
export function loggerOptions(level: string): Options {
  return { level, autoLogging: { ignore: ({ url }) => url === '/health' || url === '/metrics' } };
}
