import type { LogOutput } from '@nest-hsm/hsm';
import type { Options } from 'pino-http';

/** One JSON line a request; credentials and bodies never appear, since only what is named here does. */
export function loggerOptions(level: string, output: LogOutput): [Options, LogOutput] {
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
  return [options, output];
}

/** What pino's own serializer makes of a request. */
interface LoggedRequest {
  readonly id: string;
  readonly method: string;
  readonly url: string;
  readonly remoteAddress: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
}
