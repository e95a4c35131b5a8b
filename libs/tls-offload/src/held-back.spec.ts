import { jest } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSecureContext, TLSSocket } from 'node:tls';
import { credentialOf, makeIdentity } from '../test/identity.js';
import { deferred, eventually, type Listener, listen, readAll } from '../test/listen.js';
import { connectSealing, contentType, keyUpdate, type SealingClient } from '../test/record-sealer.js';
import { loadAddon } from './addon.js';
import { TlsConnector } from './connector/connector.js';
import type { TlsSocket } from './socket.js';
import { TlsTerminator } from './terminator.js';

/** Tickets hold the client's certificate, so that they are longer than the server's records. */
const alice = makeIdentity('rsa-2048', ['alice']);
const identity = makeIdentity('ec-p256');
const megabyte = 1024 * 1024;
const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-held-back-'));
const caFile = join(directory, 'ca.pem');
writeFileSync(caFile, identity.certificatePem);

const connector = new TlsConnector({ caFile, credentials: [credentialOf(alice)] });
const server = createServer();
const relay = createServer({ allowHalfOpen: true });
const withheld = deferred<{ release: () => void; relayedBytes: number }>();

beforeAll(async () => {
  const key = identity.privateKey.export({ format: 'pem', type: 'pkcs8' });
  const secureContext = createSecureContext({ cert: identity.certificatePem, key, minVersion: 'TLSv1.3' });
  await listening(server);
  await listening(relay);
  relay.on('connection', (client: Socket) => relayTickets(client, connect((server.address() as AddressInfo).port)));
  server.on('connection', (raw: Socket) => {
    const options = { isServer: true, secureContext, requestCert: true, rejectUnauthorized: false };
    const secure = new TLSSocket(raw, { ...options, allowHalfOpen: true } as object);
    secure.setMaxSendFragment(512);
    secure.on('error', () => undefined);
    server.emit('secure', secure);
  });
});

afterAll(async () => {
  await connector.close();
  server.close();
  relay.close();
  rmSync(directory, { recursive: true });
  await eventually(() => loadAddon().counters().liveSessions === 0);
});

/** Withholds, of what the server says after the client's part of the handshake, all but the first record. */
function relayTickets(client: Socket, upstream: Socket): void {
  let isFinished = false;
  let isOpen = false;
  let late = Buffer.alloc(0);
  const release = (): void => {
    isOpen = true;
    client.write(late);
  };
  for (const socket of [client, upstream]) socket.on('error', () => undefined);
  client.on('data', (chunk: Buffer) => {
    // The second flight: the first was the ClientHello.
    isFinished ||= upstream.bytesWritten > 0;
    upstream.write(chunk);
  });
  client.on('end', () => upstream.end());
  upstream.on('end', () => client.end());
  upstream.on('data', (chunk: Buffer) => {
    if (isOpen || !isFinished) return void client.write(chunk);
    const isFirst = late.length === 0;
    late = Buffer.concat([late, chunk]);
    if (!isFirst) return;
    const recordBytes = 5 + late.readUInt16BE(3);
    client.write(late.subarray(0, recordBytes));
    late = late.subarray(recordBytes);
    withheld.resolve({ release, relayedBytes: client.bytesWritten });
  });
}

async function listening(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
}

it('holds back what is written in the middle of a ticket, and then sends it whole and ends in order', async () => {
  const received = new Promise<Buffer>((resolve, reject) =>
    server.once('secure', (secure: TLSSocket) => void readAll(secure).then(resolve, reject)),
  );
  const { port } = relay.address() as AddressInfo;
  const socket: TlsSocket = await connector.connect({ host: '127.0.0.1', serverName: 'localhost', port });
  socket.resume();
  const { release, relayedBytes } = await withheld.promise;
  await eventually(() => socket.bytesRead === relayedBytes);
  const plaintext = Buffer.alloc(100_000, 'x');
  const { bytesWritten } = socket;
  socket.write(plaintext);
  socket.end('the end');
  expect(socket.bytesWritten).toBe(bytesWritten);
  release();
  expect(await received).toEqual(Buffer.concat([plaintext, Buffer.from('the end')]));
  expect(socket.failure).toBeUndefined();
  socket.destroy();
});

describe('a server in the middle of a key update', () => {
  let listener: Listener;
  let accepted = deferred<TlsSocket>();

  beforeAll(async () => {
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity)] });
    listener = await listen(terminator, (socket) => accepted.resolve(socket));
  });
  afterAll(() => listener[Symbol.asyncDispose]());

  /** A client, and the server's side of it once that has read the first part of a key update. */
  async function begun(): Promise<SealingClient & { server: TlsSocket; sendRest: () => void }> {
    accepted = deferred();
    const sealing = await connectSealing(listener.port, identity.certificatePem);
    const { client, raw, sealer } = sealing;
    const server = await accepted.promise;
    client.resume();
    const { bytesRead } = server;
    const part = sealer.seal(contentType.handshake, keyUpdate[0]);
    server.read(0);
    raw.write(part);
    await eventually(() => server.bytesRead === bytesRead + part.length);
    const sendRest = (): void => {
      raw.write(sealer.seal(contentType.handshake, keyUpdate[1]));
      sealer.renewKey();
    };
    return { ...sealing, server, sendRest };
  }

  it('makes its writers wait, and then sends all and ends in order', async () => {
    const { client, server, sendRest } = await begun();
    const received = readAll(client);
    const { bytesWritten } = server;
    const chunk = Buffer.alloc(65_536, 'x');
    let written = 0;
    for (let index = 0; index < 20; index++) server.write(chunk, (error) => error ?? written++);
    server.end();
    await new Promise((resolve) => setImmediate(resolve));
    expect([written, server.bytesWritten - bytesWritten]).toEqual([0, 0]);
    expect(server.writableLength).toBeGreaterThan(megabyte);
    sendRest();
    expect((await received).length).toBe(20 * chunk.length);
    expect([written, server.failure]).toEqual([20, undefined]);
    server.destroy();
    client.destroy();
  });

  it('reads the rest though nobody reads what is inside, and no more than it has to', async () => {
    const { client, raw, sealer, server, sendRest } = await begun();
    // What the reader has is 1 byte less than it wants to have at most, and then more, with the next part of a message.
    sendRest();
    for (let sent = 0; sent < 65_535; sent += 13_107)
      raw.write(sealer.seal(contentType.data, Buffer.alloc(13_107, 'r')));
    await eventually(() => server.readableLength === 65_535);
    raw.write(
      Buffer.concat([
        sealer.seal(contentType.data, Buffer.from('rr')),
        sealer.seal(contentType.handshake, keyUpdate[0]),
      ]),
    );
    await eventually(() => server.readableLength === 65_537);
    const answered = new Promise((resolve) => client.once('data', resolve));
    server.write('answer');
    sendRest();
    raw.write(sealer.seal(contentType.data, Buffer.from('r')));
    expect(String(await answered)).toBe('answer');
    expect(server.readableLength).toBe(65_537);
    raw.write(sealer.seal(contentType.alert, Buffer.of(1, 0)));
    expect(await readAll(server)).toEqual(Buffer.alloc(65_538, 'r'));
    server.destroy();
    client.destroy();
  });

  it('sends close_notify after it, and nothing before', async () => {
    const { client, server, sendRest } = await begun();
    const { bytesWritten } = server;
    const ended = new Promise((resolve) => client.once('end', resolve));
    server.end();
    await new Promise((resolve) => setImmediate(resolve));
    expect([server.bytesWritten - bytesWritten, server.writableFinished]).toEqual([0, false]);
    sendRest();
    await ended;
    const alertRecordBytes = 5 + 2 + 1 + 16;
    expect(server.bytesWritten - bytesWritten).toBe(alertRecordBytes);
    server.destroy();
    client.destroy();
  });

  it('gives up on who never sends the rest, and says so to whoever has written', async () => {
    const { client, server } = await begun();
    const timers = jest.spyOn(globalThis, 'setTimeout');
    const outcome = new Promise((resolve) => server.write('lost', resolve));
    const finished = jest.fn();
    server.once('finish', finished).end();
    const isOver = timers.mock.calls.find(([, milliseconds]) => milliseconds === 5_000)?.[0];
    timers.mockRestore();
    const closed = new Promise((resolve) => server.once('close', resolve));
    isOver?.();
    expect(await outcome).toMatchObject({ code: 'ERR_TLS_OFFLOAD_CLOSED' });
    await closed;
    expect(server.failure?.code).toBe('ERR_TLS_OFFLOAD_HANDSHAKE_TIMEOUT');
    expect(finished).not.toHaveBeenCalled();
    client.destroy();
  });

  it('refuses an end in the middle of a message, after which there is no rest', async () => {
    const { client, raw, sealer, server } = await begun();
    server.write('held back');
    const closed = new Promise((resolve) => server.once('close', resolve));
    raw.write(sealer.seal(contentType.alert, Buffer.of(1, 0)));
    await closed;
    expect(server.failure?.code).toBe('ERR_TLS_OFFLOAD_RECORD_INVALID');
    client.destroy();
  });
});
