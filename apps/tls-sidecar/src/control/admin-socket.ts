import { once } from 'node:events';
import { chmodSync, existsSync, lstatSync, unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { Logger, type OnApplicationShutdown } from '@nestjs/common';
import { sentenceOf, SidecarError } from '../faults.js';
import type { Operations } from '../operations.js';

/** Only its owner may connect; the umask sees to it before the socket is there. */
const ownerOnly = 0o177;

/** A Unix socket that takes `GET /status`, `POST /reload` and `POST /drain` in HTTP and answers in JSON. */
export class AdminSocket implements OnApplicationShutdown {
  readonly #logger = new Logger('admin socket');
  readonly #server: Server;

  constructor(
    private readonly path: string,
    private readonly operations: Operations,
  ) {
    this.#server = createServer(
      { requestTimeout: 10_000 },
      (request, response) => void this.#answer(request, response),
    );
  }

  /** @throws {SidecarError} ERR_SIDECAR_LISTEN */
  async listen(): Promise<void> {
    try {
      // The system would say EACCES.
      if (!existsSync(dirname(this.path))) throw new Error('no such directory');
      await removeStale(this.path);
      const umask = process.umask(ownerOnly);
      // Bound before it returns.
      this.#server.listen(this.path);
      process.umask(umask);
      await once(this.#server, 'listening');
      chmodSync(this.path, 0o600);
    } catch (cause) {
      const message = `adminSocket: want to listen on ${this.path}, got ${(cause as Error).message}`;
      throw new SidecarError('ERR_SIDECAR_LISTEN', message, { cause });
    }
  }

  /** Last: an operator may look on while connections end. */
  onApplicationShutdown(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Nothing of a body is wanted.
    request.resume();
    const route = `${request.method} ${request.url}`;
    try {
      switch (route) {
        case 'GET /status':
          return send(response, 200, await this.operations.status());
        case 'POST /reload':
          this.#logger.log('reload');
          return send(response, 200, await this.operations.reload());
        case 'POST /drain':
          this.#logger.log('drain');
          send(response, 202, { state: 'draining' });
          return this.operations.drain();
        default:
          return send(response, 404, { message: 'want GET /status, POST /reload or POST /drain' });
      }
    } catch (error) {
      const { code, message } = error as Error & { code?: string };
      this.#logger.error(`${route}: ${sentenceOf(error)}`);
      send(response, 422, { code, message });
    }
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}

/** What a process that was killed left. @throws when somebody listens on it, or it is no socket */
async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error('something that is no socket');
  const probe = connect(path);
  const answered = await once(probe, 'connect').then(
    () => true,
    () => false,
  );
  probe.destroy();
  if (answered) throw new Error('another process that listens there');
  unlinkSync(path);
}
