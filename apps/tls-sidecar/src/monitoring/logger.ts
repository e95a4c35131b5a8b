import { LoggerModule } from 'nestjs-pino';
import { type DestinationStream, pino } from 'pino';

/** Of lines that wait while the disk is full; those that come then are lost. */
const maximumWaitingBytes = 1 << 20;

/** JSON lines on standard output. Requests of HTTP are monitoring's alone here, and not logged. */
export function loggerModule(level: string): ReturnType<typeof LoggerModule.forRoot> {
  // The module's own default matches no route of this Nest version.
  return LoggerModule.forRoot({
    forRoutes: ['{*splat}'],
    pinoHttp: [{ level, autoLogging: false }, standardOutput()],
  });
}

/** Left to itself pino ends the process at the first line that a full disk does not take, and tries without end to write it then. */
function standardOutput(): DestinationStream {
  const stream = pino.destination({ dest: 1, sync: true, maxLength: maximumWaitingBytes });
  stream.on('error', () => undefined);
  return stream;
}
