import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSecureContext, TLSSocket } from 'node:tls';
import { credentialOf, makeIdentity } from '../test/identity.js';
import { deferred, eventually, readAll } from '../test/listen.js';
import { loadAddon } from './addon.js';
import { TlsConnector } from './connector/connector.js';
import type { TlsSocket } from './socket.js';

/** Tickets hold the client's certificate, so that they are longer than the server's records. */
const alice = makeIdentity('rsa-2048', ['alice']);
const identity = makeIdentity('ec-p256');
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
