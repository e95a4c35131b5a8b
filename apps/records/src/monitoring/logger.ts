import { pino } from 'pino';
import type { Options } from 'pino-http';

/** Of lines that wait while the disk is full; those that come then are lost. */
const maximumWaitingBytes = 1 << 20;

/** One JSON line a request; credentials and bodies never appear, since only what is named here does. */
export function loggerOptions(level: string): [Options, ReturnType<typeof standardOutput>] {
  const options: Options = {
    level,
    serializers: {
      req: ({ id, method, url, remoteAddress, headers }: LoggedRequest) => {
        return { id, method, url, remoteAddress, userAgent: headers['user-agent'] };
      },
      res: ({ statusCode }: { readonly statusCode: number }) => ({ statusCode }),
    },
    autoLogging: { ignore: ({ url }) => url === '/health' || url === '/metrics' },
  };
  return [options, standardOutput()];
}

/** What pino's own serializer makes of a request. */
interface LoggedRequest {
  readonly id: string;
  readonly method: string;
  readonly url: string;
  readonly remoteAddress: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/**
 * Left to itself pino ends the process when a line cannot be written, and tries without end to write it before the process
 * ends: a full disk would have the service hang. Written at once, so that nothing waits for the end.
 */
function standardOutput() {
  const stream = pino.destination({ dest: 1, sync: true, maxLength: maximumWaitingBytes });
  stream.on('error', () => undefined);
  return stream;
}
