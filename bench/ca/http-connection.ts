import { connect, type Socket } from 'node:net';

interface Waiting {
  readonly resolve: (answer: HttpAnswer) => void;
  readonly reject: (error: Error) => void;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: Buffer;
}

/** A whole request of HTTP/1.1, to be sent as often as one likes. */
export function httpRequest(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body: Uint8Array = Buffer.alloc(0),
): Buffer {
  const lines = Object.entries({ host: 'bench', 'content-length': String(body.length), ...headers });
  const head = [`${method} ${path} HTTP/1.1`, ...lines.map(([name, value]) => `${name}: ${value}`)].join('\r\n');
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), body]);
}

/**
 * A kept connection that has one request under way at a time. It reads no more of an answer than its status and its length:
 * Node's own client takes as much of the machine for a request as a fast server does.
 */
export class HttpConnection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #waiting: Waiting | undefined;

  constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true });
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('bench: want an answer, got the end of the connection')));
  }

  send(request: Buffer): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    const end = this.#received.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = this.#received.toString('latin1', 0, end);
    const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1];
    if (length === undefined) return this.#fail(new Error(`bench: want an answer with its length, got ${head}`));
    const bodyEnd = end + 4 + Number(length);
    if (this.#received.length < bodyEnd) return;
    const answer = { status: Number(head.slice(9, 12)), body: this.#received.subarray(end + 4, bodyEnd) };
    this.#received = this.#received.subarray(bodyEnd);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(answer);
  }

  #fail(error: Error): void {
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }
}

/** So many connections, each making its next request when the last one is answered. */
export class HttpClients {
  readonly #connections: readonly HttpConnection[];

  constructor(url: string, count: number) {
    this.#connections = Array.from({ length: count }, () => new HttpConnection(url));
  }

  get count(): number {
    return this.#connections.length;
  }

  /** @throws when the answer is not that status */
  async send(client: number, request: Buffer, want = 200): Promise<Buffer> {
    const { status, body } = await this.#connections[client].send(request);
    if (status !== want)
      throw new Error(`bench: want status ${want}, got ${status}: ${body.toString('latin1', 0, 300)}`);
    return body;
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }
}
