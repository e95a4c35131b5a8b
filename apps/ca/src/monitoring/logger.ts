import { type DestinationStream, type Logger, pino } from 'pino';

/** Of lines that wait while the disk is full; those that come then are lost. */
const maximumWaitingBytes = 1 << 20;

/** JSON lines on standard output. */
export function makeLogger(level: string): Logger {
  return pino({ level }, standardOutput());
}

/** Left to itself pino ends the process at the first line that a full disk does not take, and tries without end to write it then. */
function standardOutput(): DestinationStream {
  const stream = pino.destination({ dest: 1, sync: true, maxLength: maximumWaitingBytes });
  stream.on('error', () => undefined);
  return stream;
}
