// Drives the built L4 proxy through whole transfers and every way in which a forwarded connection can break, in a process or
// worker of its own, and answers with what was left behind: `node forwarding-driver.mjs '{ "certificate": PEM, "privateKey": PEM,
// "breaks": N, "transfers": N, "leaveOpen": N, "heapProbe": path? }'`. In a worker, connections that are left open are what its end has to close.
import { createPrivateKey, createPublicKey, randomBytes, sign } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { loadAddon } from '../dist/addon.js';
import { Credential } from '../dist/credential.js';
import { L4Proxy } from '../dist/proxy/l4.js';
import { TlsTerminator } from '../dist/terminator.js';

const connectionsAtOnce = 20;

if (isMainThread) console.log(JSON.stringify(await drive(JSON.parse(process.argv[2]))));
else {
  parentPort.on('message', () => process.exit());
  parentPort.postMessage(await drive(workerData));
}

async function drive({ certificate, privateKey: keyPem, breaks, transfers, leaveOpen, heapProbe }) {
  const privateKey = createPrivateKey(keyPem);
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const key = { id: 'driver', label: 'driver', algorithm: 'ed25519', usage: 'sign', spki };
  const signer = { sign: (_key, _scheme, data) => Promise.resolve(sign(null, data, privateKey)) };
  const terminator = new TlsTerminator({ credentials: [Credential.fromPem(certificate, key, signer)] });
  const open = new Set();
  const keep = terminator.keep.bind(terminator);
  terminator.keep = (connection) => {
    open.add(connection);
    connection.once('close', () => open.delete(connection));
    keep(connection);
  };

  // The first byte says what the upstream does.
  const upstreamSockets = new Set();
  const upstream = createServer({ allowHalfOpen: true }, (socket) => {
    upstreamSockets.add(socket);
    socket.once('close', () => upstreamSockets.delete(socket));
    socket.on('error', () => undefined);
    socket.once('data', (first) => {
      const behaviour = String.fromCharCode(first[0]);
      if (behaviour === 'e') {
        socket.write(first);
        socket.pipe(socket);
      } else if (behaviour === 'r') socket.write(randomBytes(100_000), () => socket.resetAndDestroy());
      else if (behaviour === 'f') socket.pause().end(randomBytes(300_000));
      else if (behaviour === 'c') socket.destroy();
      else if (behaviour === 'p') pour(socket);
      // 's': it never reads again.
      else socket.pause();
    });
  });
  const { port: upstreamPort } = await listening(upstream);
  const proxy = new L4Proxy(terminator, {
    upstream: { host: '127.0.0.1', port: upstreamPort },
    idleTimeoutMilliseconds: 1_000,
    lifetimeMilliseconds: 60_000,
  });
  const { port } = await proxy.listen(0, '127.0.0.1');

  const secure = async () => {
    const raw = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const client = connectTls({ socket: raw, ca: certificate, servername: 'localhost', allowHalfOpen: true });
    client.on('error', () => undefined);
    raw.on('error', () => undefined);
    await new Promise((resolve, reject) => {
      client.once('secureConnect', resolve);
      client.once('close', () => reject(new Error('want a handshake, got its end')));
    });
    return { raw, client };
  };

  const transfer = async () => {
    const { client } = await secure();
    const body = Buffer.concat([Buffer.from('e'), randomBytes(500_000)]);
    const received = [];
    client.on('data', (chunk) => received.push(chunk));
    const ended = new Promise((resolve, reject) => {
      client.once('end', resolve);
      client.once('close', () => reject(new Error('want the end of a transfer, got a break')));
    });
    client.end(body);
    await ended;
    if (!Buffer.concat(received).equals(body)) throw new Error('what came back differs');
  };

  const ways = [
    ...['r', 'f', 'c', 'p', 's'].flatMap((behaviour) => [
      // FIN without close_notify, RST, an orderly end, and one that goes on talking.
      (raw, client) => client.write(behaviour, () => raw.end()),
      (raw, client) => client.write(behaviour, () => raw.resetAndDestroy()),
      (_raw, client) => client.resume().end(behaviour),
      (raw, client) => {
        client.resume().write(behaviour + 'x'.repeat(200_000));
        setTimeout(() => raw.resetAndDestroy(), Math.random() * 20);
      },
    ]),
    // A record that is none, bytes of no kind, and half a record, in the middle of an exchange.
    ...[
      () => Buffer.concat([Buffer.from([23, 3, 3, 0, 64]), randomBytes(64)]),
      () => Buffer.concat([Buffer.from([99]), randomBytes(1 + Math.floor(Math.random() * 400))]),
      () => Buffer.from([23, 3, 3, 1, 0, 1, 2, 3]),
    ].map((hostile) => (raw, client) => {
      client.once('data', () => raw.end(hostile()));
      client.write('echo');
    }),
    // Ended from our own side, as when the grace of `close` is over.
    (_raw, client) => client.write('p', () => setTimeout(() => [...open].at(-1)?.destroy(), Math.random() * 20)),
  ];
  let broken = 0;
  const breakOne = async () => {
    const { raw, client } = await secure();
    const closed = new Promise((resolve) => raw.once('close', resolve));
    // Not every way ends the client's side.
    const patience = setTimeout(() => raw.destroy(), 300);
    ways[broken++ % ways.length](raw, client);
    if (!raw.closed) await closed;
    clearTimeout(patience);
    client.destroy();
  };
  const breakMany = async (count) => {
    for (let done = 0; done < count; done += connectionsAtOnce) {
      await Promise.all(Array.from({ length: connectionsAtOnce }, breakOne));
      // The clients are of this process too: their garbage must not pass for what the server holds.
      if (done % 200 === 0) globalThis.gc?.();
    }
    await until(() => proxy.statistics.open === 0);
    // Those that never read do not notice that their connection is gone.
    for (const socket of upstreamSockets) socket.destroy();
    await until(() => upstreamSockets.size === 0);
  };

  for (let round = 0; round < transfers; round++) await Promise.all([transfer(), transfer(), transfer()]);
  await breakMany(Math.ceil(breaks / 4));
  const heapInUse = heapProbe && createRequire(import.meta.url)(heapProbe).heapInUse;
  const [bytesBefore, descriptorsBefore] = [heapInUse && (await least(heapInUse)), openDescriptors()];
  await breakMany(breaks);
  const grownBytes = heapInUse ? (await least(heapInUse)) - bytesBefore : null;
  const grownDescriptors = openDescriptors() - descriptorsBefore;
  await transfer();
  await until(() => proxy.statistics.open === 0);
  const counters = loadAddon().counters();
  const { forwarded, interrupted, failed } = proxy.statistics;
  const report = { ...counters, forwarded, broken, interrupted, failed, grownBytes, grownDescriptors };
  const { sharedObjects } = process.report.getReport();
  for (let left = 0; left < leaveOpen; left++) (await secure()).client.write(left % 2 === 0 ? 'p' : 's');
  await until(() => proxy.statistics.open === leaveOpen);
  if (leaveOpen === 0) {
    await proxy.close();
    await new Promise((resolve) => upstream.close(resolve));
  }
  return { ...report, sharedObjects };
}

function pour(socket) {
  const more = () => {
    while (socket.writable && socket.write(Buffer.alloc(65_536)));
  };
  socket.on('drain', more);
  more();
}

async function listening(server) {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server.address();
}

/** Sockets; what else a process holds comes and goes. */
function openDescriptors() {
  const links = readdirSync('/proc/self/fd').map((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`);
    } catch {
      return '';
    }
  });
  return links.filter((target) => target.startsWith('socket:')).length;
}

/** The least of a second: garbage of the clients, which are of this process too, is given back late. */
async function least(bytesInUse) {
  let bytes = Infinity;
  for (let round = 0; round < 10; round++) {
    globalThis.gc?.();
    bytes = Math.min(bytes, bytesInUse());
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return bytes;
}

async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}
