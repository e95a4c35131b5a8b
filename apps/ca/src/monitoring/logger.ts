import type { Options } from 'pino-http';

/** One JSON line a request on standard output; credentials and bodies never appear. */
export function loggerOptions(level: string): Options {
  return {
    level,
    redact: { paths: ['req.headers.authorization', 'req.headers.cookie'], censor: '[redacted]' },
    autoLogging: { ignore: ({ url }) => url === '/health' || url === '/metrics' },
  };
}
