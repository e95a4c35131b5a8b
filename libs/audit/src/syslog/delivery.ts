import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { AuditError } from '../errors.js';
import { type CollectorSettings, connectTo } from './collector.js';

/** What is given to the socket at once. */
const chunkBytes = 65_536;
/** Beside the time that it took to connect, in which the end of a connection that was never served comes back. */
const graceMilliseconds = 50;

/**
 * Sends a batch over a connection of its own, and returns when the collector has read it to its end.
 *
 * Syslog has no acknowledgements, and what was handed to TCP may yet be lost with the collector. But whoever ends a
 * connection in order, after we ended our side, has read everything up to there: a collector that dies with unread data resets
 * the connection instead. So the end of each batch is its receipt, and without one the batch is sent again.
 * @throws {AuditError} ERR_AUDIT_COLLECTOR_UNAVAILABLE | ERR_AUDIT_FILE_UNUSABLE; whatever `messages` throws
 */
export async function deliver(
  settings: CollectorSettings,
  messages: AsyncIterable<Buffer>,
  signal?: AbortSignal,
): Promise<void> {
  const socket = await connectTo(settings);
  const connection = new Connection(socket, settings);
  const abort = () => void socket.destroy();
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted === true) abort();
  try {
    for await (const chunk of inChunks(messages)) await connection.write(chunk);
    await connection.end();
  } finally {
    signal?.removeEventListener('abort', abort);
    socket.destroy();
  }
}

class Connection {
  readonly #begun = performance.now();
  #connectMilliseconds = 0;
  #isEnding = false;
  /** Resolves with the collector's end after ours, rejects with any other. */
  readonly #ended: Promise<void>;

  constructor(
    private readonly socket: Socket,
    private readonly settings: CollectorSettings,
  ) {
    const { timeoutMilliseconds } = settings;
    this.#ended = new Promise((resolve, reject) => {
      const fail = (got: string, cause?: unknown) => reject(this.#unavailable(got, cause));
      // One that is refused over TLS may err twice: with the alert, and with the reset that follows.
      socket.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message, error));
      socket.once('end', () => (this.#isEnding ? resolve() : fail('the end of the connection')));
      socket.once('close', () => fail('the end of the connection'));
      socket.once('connect', () => (this.#connectMilliseconds = performance.now() - this.#begun));
      socket.setTimeout(timeoutMilliseconds, () => fail(`nothing for ${timeoutMilliseconds} ms`));
    });
    // It is looked at when something is waited for.
    this.#ended.catch(() => undefined);
    // Collectors say nothing; what they do say is passed over.
    socket.resume();
  }

  /** Returns when the octets have left for the network. */
  async write(chunk: Buffer): Promise<void> {
    const written = new Promise<void>((resolve) =>
      this.socket.write(chunk, (error) => (error ? undefined : resolve())),
    );
    await Promise.race([written, this.#ended]);
  }

  /** A collector that has no room for a connection ends it as soon as it begins. That is not taken for a receipt. */
  async end(): Promise<void> {
    await Promise.race([pause(graceMilliseconds + this.#connectMilliseconds), this.#ended]);
    this.#isEnding = true;
    this.socket.end();
    await this.#ended;
  }

  #unavailable(got: string, cause: unknown): AuditError {
    const { host, port, transport } = this.settings;
    const want = `syslog collector ${host}:${port} (${transport}): want a batch to be taken`;
    return new AuditError('ERR_AUDIT_COLLECTOR_UNAVAILABLE', `${want}, got ${got}`, cause);
  }
}

async function* inChunks(messages: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let waiting: Buffer[] = [];
  let length = 0;
  for await (const message of messages) {
    waiting.push(message);
    length += message.length;
    if (length < chunkBytes) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    length = 0;
  }
  if (length > 0) yield Buffer.concat(waiting);
}
