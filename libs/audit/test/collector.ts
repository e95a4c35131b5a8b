import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';

export interface Received {
  readonly header: string;
  readonly messageId: string;
  readonly data: Readonly<Record<string, string>>;
  readonly text: string;
}

/** What becomes of a connection: read to its end, or reset after so many bytes. */
export type Mood = 'reads' | { readonly resetsAfterBytes: number } | 'hangs up' | 'sleeps';

/** A syslog collector over real sockets, which counts octets and takes messages apart as RFC 5424 says. */
export class TestCollector {
  mood: Mood = 'reads';
  readonly received: Received[] = [];
  connections = 0;
  readonly #sockets = new Set<Socket>();

  static async start(tls?: TlsOptions, port = 0): Promise<TestCollector> {
    const collector = tls
      ? new TestCollector(createTlsServer(tls), 'secureConnection')
      : new TestCollector(createServer(), 'connection');
    collector.server.listen(port, '127.0.0.1');
    await once(collector.server, 'listening');
    return collector;
  }

  private constructor(
    private readonly server: Server,
    served: 'connection' | 'secureConnection',
  ) {
    // A client that it does not trust is a client that it does not serve.
    server.on('tlsClientError', () => undefined);
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
    });
    server.on(served, (socket: Socket) => this.#serve(socket));
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Texts of records, in the order they came in. */
  get records(): string[] {
    return this.received.filter(({ data }) => data.seq !== undefined).map(({ text }) => text);
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }

  #serve(socket: Socket): void {
    this.connections++;
    socket.on('error', () => undefined);
    const { mood } = this;
    if (mood === 'hangs up') return void socket.end();
    if (mood === 'sleeps') return;
    let pending = Buffer.alloc(0);
    let bytes = 0;
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (mood !== 'reads' && bytes > mood.resetsAfterBytes) return void socket.resetAndDestroy();
      pending = Buffer.concat([pending, chunk]);
      for (let next = frame(pending); next !== undefined; next = frame(pending)) {
        this.received.push(parse(next.message));
        pending = pending.subarray(next.end);
      }
    });
  }
}

function frame(bytes: Buffer): { message: Buffer; end: number } | undefined {
  const count = /^[1-9]\d{0,8} /.exec(bytes.subarray(0, 10).toString('latin1'))?.[0];
  if (count === undefined) {
    if (bytes.length > 9) throw new Error(`want a count of octets, got ${bytes.subarray(0, 40).toString('latin1')}`);
    return undefined;
  }
  const end = count.length + Number(count);
  return bytes.length < end ? undefined : { message: bytes.subarray(count.length, end), end };
}

/** RFC 5424 §6: header, one element of structured data, message. */
function parse(message: Buffer): Received {
  const text = message.toString('utf8');
  const form = /^(<\d{1,3}>1 \S+ \S+ \S+ \S+ (\S+)) \[[\w-]+@\d+((?: \w+="(?:[^"\\\]]|\\["\\\]])*")*)\] ([^]*)$/;
  const [, header, messageId, parameters, rest] = form.exec(text) ?? [];
  if (header === undefined) throw new Error(`want a message of RFC 5424, got ${text.slice(0, 200)}`);
  const pairs = [...parameters.matchAll(/ (\w+)="((?:[^"\\\]]|\\["\\\]])*)"/g)];
  const data = Object.fromEntries(pairs.map(([, name, value]) => [name, value.replaceAll(/\\(["\\\]])/g, '$1')]));
  return { header, messageId, data, text: rest };
}
