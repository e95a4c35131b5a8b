import fc from 'fast-check';
import { connect, type Socket } from 'node:net';
import { connect as connectTlsNow } from 'node:tls';
import { HsmError } from '@nest-hsm/hsm';
import { credentialOf, makeIdentity, softwareSigner } from '../test/identity.js';
import { connectTls, eventually, listen, type Listener, readAll } from '../test/listen.js';
import { loadAddon } from './addon.js';
import type { TlsSocket } from './socket.js';
import { TlsTerminator } from './terminator.js';

const identity = makeIdentity('ec-p256');
const ca = identity.certificatePem;
const never = new Promise<void>(() => undefined);
const echo = (socket: TlsSocket): void => void socket.pipe(socket);
const codes = ({ failures }: Listener): string[] => failures.map(({ code }) => code);

async function nothingLeft(): Promise<void> {
  const { counters } = loadAddon();
  await eventually(() => counters().liveSessions === 0 && counters().pausedJobs === 0);
}

afterEach(nothingLeft);

describe('a signature', () => {
  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'that fails ends its own %s handshake with internal_error',
    async (version) => {
      const signer = softwareSigner(identity);
      const terminator = new TlsTerminator({ credentials: [credentialOf(identity, signer)] });
      await using listener = await listen(terminator, echo);
      const bystander = await connectTls({ port: listener.port, ca });

      signer.before = () => Promise.reject(new Error('the token said no'));
      const options = { port: listener.port, ca, minVersion: version, maxVersion: version };
      await expect(connectTls(options)).rejects.toThrow(/alert internal error|SSL alert number 80/);
      expect(codes(listener)).toEqual(['ERR_TLS_OFFLOAD_SIGNATURE_FAILED']);
      expect(listener.failures[0].message).toContain('the token said no');

      signer.before = () => Promise.resolve();
      bystander.end('still here');
      expect((await readAll(bystander)).toString()).toBe('still here');
      (await connectTls(options)).destroy();
    },
  );

  it('that is empty ends the handshake with internal_error', async () => {
    const signer = { sign: () => Promise.resolve(Buffer.alloc(0)) };
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity, signer as never)] });
    await using listener = await listen(terminator, echo);
    await expect(connectTls({ port: listener.port, ca })).rejects.toThrow(/SSL alert number 80/);
  });

  it('that is longer than the key allows ends the handshake with internal_error', async () => {
    const signer = { sign: () => Promise.resolve(Buffer.alloc(70_000, 1)) };
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity, signer as never)] });
    await using listener = await listen(terminator, echo);
    await expect(connectTls({ port: listener.port, ca })).rejects.toThrow(/SSL alert number 80/);
  });

  it('that is late ends the handshake, is cancelled, and its answer is dropped', async () => {
    const signer = softwareSigner(identity);
    let answer = (): void => undefined;
    signer.before = () => new Promise((resolve) => (answer = resolve));
    const credentials = [credentialOf(identity, signer)];
    const terminator = new TlsTerminator({ credentials, handshakeTimeoutMilliseconds: 1_000 });
    await using listener = await listen(terminator, echo);
    await expect(connectTls({ port: listener.port, ca })).rejects.toThrow(/SSL alert number 80/);
    expect(codes(listener)).toEqual(['ERR_TLS_OFFLOAD_SIGNATURE_TIMEOUT']);
    expect(signer.aborted).toBe(1);
    await nothingLeft();

    answer();
    const { signatures } = terminator.statistics;
    await eventually(() => terminator.statistics.signatures[identity.key.label].pending === 0);
    expect(signatures[identity.key.label].signed).toBe(0);
    expect(terminator.statistics.signatures[identity.key.label].cancelled).toBe(1);

    signer.before = () => Promise.resolve();
    (await connectTls({ port: listener.port, ca })).destroy();
  });

  it('is asked for with what remains of the handshake', async () => {
    const signer = softwareSigner(identity);
    let remaining = 0;
    signer.before = async ({ deadlineMilliseconds }) => void (remaining = deadlineMilliseconds);
    const credentials = [credentialOf(identity, signer)];
    const terminator = new TlsTerminator({ credentials, handshakeTimeoutMilliseconds: 60_000 });
    await using listener = await listen(terminator, echo);
    const socket = connect(listener.port, '127.0.0.1');
    await eventually(() => terminator.statistics.handshaking === 1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const client = connectTlsNow({ socket, ca, servername: 'localhost' });
    await new Promise((resolve) => client.once('secureConnect', resolve));
    expect(remaining).toBeGreaterThan(1_000);
    expect(remaining).toBeLessThanOrEqual(59_910);
    client.destroy();
  });

  it('is shed with an alert when too many wait for the key, and others are served', async () => {
    const signer = softwareSigner(identity);
    const other = makeIdentity('ec-p256', ['other.example']);
    const answers: (() => void)[] = [];
    signer.before = () => new Promise((resolve) => void answers.push(resolve));
    const terminator = new TlsTerminator({
      credentials: [credentialOf(identity, signer)],
      serverNames: { 'other.example': [credentialOf(other)] },
      pendingSignatureLimit: 3,
    });
    await using listener = await listen(terminator, echo);
    const waiting = Array.from({ length: 3 }, () => connectTls({ port: listener.port, ca }));
    await eventually(() => answers.length === 3);

    await expect(connectTls({ port: listener.port, ca })).rejects.toThrow(/SSL alert number 80/);
    expect(codes(listener)).toEqual(['ERR_TLS_OFFLOAD_SIGNATURES_SATURATED']);
    const served = await connectTls({ port: listener.port, ca: other.certificatePem, servername: 'other.example' });
    served.destroy();

    for (const answer of answers) answer();
    for (const client of await Promise.all(waiting)) client.destroy();
    // Or when too many wait for the HSM.
    signer.before = () => Promise.reject(new HsmError('ERR_HSM_OVERLOADED', 'full', { retryable: true }));
    await expect(connectTls({ port: listener.port, ca })).rejects.toThrow(/SSL alert number 80/);
    expect(codes(listener).at(-1)).toBe('ERR_TLS_OFFLOAD_SIGNATURES_SATURATED');
    const { signed, shed, failed, pending } = terminator.statistics.signatures[identity.key.label];
    expect({ signed, shed, failed, pending }).toEqual({ signed: 3, shed: 2, failed: 0, pending: 0 });
  });
});

describe('a client', () => {
  it('that goes away while its signature is made leaves nothing behind', async () => {
    const signer = softwareSigner(identity);
    signer.before = ({ signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity, signer)] });
    await using listener = await listen(terminator, echo);
    const total = 200;
    for (let round = 0; round < total / 20; round++) {
      const clients = Array.from({ length: 20 }, () => startTls(listener.port));
      await eventually(() => signer.calls === (round + 1) * 20);
      clients.forEach((client, index) => (index % 2 === 0 ? client.end() : client.resetAndDestroy()));
      await eventually(() => terminator.statistics.handshaking === 0);
    }
    await nothingLeft();
    expect(signer.aborted).toBe(total);
    expect(terminator.statistics.failed).toEqual({ ERR_TLS_OFFLOAD_PEER_GONE: total });
    await eventually(() => terminator.statistics.signatures[identity.key.label].cancelled === total);
  });

  it('that says nothing is ended by the deadline', async () => {
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity)], handshakeTimeoutMilliseconds: 150 });
    await using listener = await listen(terminator, echo);
    const socket = connect(listener.port, '127.0.0.1');
    await new Promise((resolve) => socket.once('close', resolve));
    expect(codes(listener)).toEqual(['ERR_TLS_OFFLOAD_HANDSHAKE_TIMEOUT']);
  });

  it('that sends a byte at a time is ended by the deadline', async () => {
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity)], handshakeTimeoutMilliseconds: 300 });
    await using listener = await listen(terminator, echo);
    const socket = connect({ port: listener.port, host: '127.0.0.1', noDelay: true });
    socket.on('error', () => undefined);
    const hello = await clientHello();
    let sent = 0;
    const dribble = setInterval(() => socket.write(hello.subarray(sent, ++sent)), 10);
    await new Promise((resolve) => socket.once('close', resolve));
    clearInterval(dribble);
    expect(codes(listener)).toEqual(['ERR_TLS_OFFLOAD_HANDSHAKE_TIMEOUT']);
  });

  it('that floods while its signature is made is ended', async () => {
    const signer = softwareSigner(identity);
    signer.before = () => never;
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity, signer)] });
    await using listener = await listen(terminator, echo);
    const client = startTls(listener.port);
    await eventually(() => signer.calls === 1);
    client.write(Buffer.alloc(1024 * 1024));
    await eventually(() => listener.failures.length === 1);
    expect(listener.failures[0].message).toContain('too much data');
  });

  it('is refused once the terminator is closed', async () => {
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity)] });
    await using listener = await listen(terminator, echo);
    await terminator.close();
    await expect(connectTls({ port: listener.port, ca })).rejects.toThrow();
    expect(codes(listener)).toEqual(['ERR_TLS_OFFLOAD_CLOSED']);
  });
});

describe('hostile bytes', () => {
  /** Sends the pieces one by one and waits for the end of the connection. */
  async function send(port: number, pieces: readonly Uint8Array[]): Promise<void> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => undefined);
    socket.resume();
    for (const piece of pieces) await new Promise<void>((resolve) => void socket.write(piece, () => resolve()));
    socket.end();
    await closed;
  }

  const sharedOptions = { numRuns: 120, interruptAfterTimeLimit: 20_000 };

  it('do no harm as a first flight', async () => {
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity)] });
    await using listener = await listen(terminator, echo);
    const record = fc
      .tuple(
        fc.constantFrom(20, 21, 22, 23, 24),
        fc.integer({ min: 0, max: 0x0304 }),
        fc.uint8Array({ maxLength: 600 }),
      )
      .map(([type, version, body]) =>
        Buffer.concat([Buffer.from([type, 3, version & 0xff, body.length >> 8, body.length & 0xff]), body]),
      );
    const flight = fc.array(fc.oneof(record, fc.uint8Array({ maxLength: 300 })), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(flight, (pieces) => send(listener.port, pieces)),
      sharedOptions,
    );
    await nothingLeft();
    (await connectTls({ port: listener.port, ca })).destroy();
  });

  it('do no harm inside a real ClientHello', async () => {
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity)] });
    await using listener = await listen(terminator, echo);
    const hello = await clientHello();
    const change = fc.record({ at: fc.nat({ max: hello.length - 1 }), value: fc.nat({ max: 255 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 4 }), fc.nat({ max: hello.length }), async (changes, length) => {
        const spoilt = Buffer.from(hello);
        for (const { at, value } of changes) spoilt[at] = value;
        await send(listener.port, [spoilt.subarray(0, length)]);
      }),
      sharedOptions,
    );
    await nothingLeft();
    (await connectTls({ port: listener.port, ca })).destroy();
  });

  it('in any fragments still make a ClientHello', async () => {
    const signer = softwareSigner(identity);
    signer.before = () => Promise.reject(new Error('enough seen'));
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity, signer)] });
    await using listener = await listen(terminator, echo);
    const hello = await clientHello();
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: hello.length - 1 }), { maxLength: 12 });
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(cuts, async (at) => {
        const edges = [0, ...at.sort((a, b) => a - b), hello.length];
        await sendAndRead(
          listener.port,
          edges.slice(1).map((edge, index) => hello.subarray(edges[index], edge)),
        );
        runs++;
      }),
      { ...sharedOptions, numRuns: 60 },
    );
    expect(signer.calls).toBe(runs);
  });
});

/** A connection on which a TLS client has begun. */
function startTls(port: number): Socket {
  const socket = connect(port, '127.0.0.1');
  connectTlsNow({ socket, ca, servername: 'localhost' }).on('error', () => undefined);
  socket.on('error', () => undefined);
  return socket;
}

/** The first flight of Node's own client. */
async function clientHello(): Promise<Buffer> {
  const { createServer } = await import('node:net');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = startTls((server.address() as { port: number }).port);
  const hello = await new Promise<Buffer>((resolve) => server.once('connection', (peer) => peer.once('data', resolve)));
  client.destroy();
  server.close();
  return hello;
}

/** Sends pieces in packets of their own and waits until the server ends the connection. */
async function sendAndRead(port: number, pieces: readonly Buffer[]): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => undefined);
  socket.resume();
  for (const piece of pieces) {
    await new Promise<void>((resolve) => void socket.write(piece, () => resolve()));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await closed;
}
