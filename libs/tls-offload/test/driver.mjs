// Drives the built library through handshakes, hostile bytes and clients that leave, in a process or worker of its own, and
// answers with what was left behind: `node driver.mjs '{ "certificate": PEM, "privateKey": PEM, "aborts": N, "rounds": N }'`.
// The key is Ed25519, which Node can sign with as a token would. Clients that leave are a process of their own, so that the
// memory measured is the server's.
import { fork } from 'node:child_process';
import { createPrivateKey, createPublicKey, randomBytes, sign } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { loadAddon } from '../dist/addon.js';
import { Credential } from '../dist/credential.js';
import { TlsTerminator } from '../dist/terminator.js';

const clientsAtOnce = 25;

if (process.argv[2] === 'clients') {
  serveAsClients(Number(process.argv[3]));
} else if (isMainThread) {
  console.log(JSON.stringify(await drive(JSON.parse(process.argv[2]))));
} else {
  parentPort.postMessage(await drive(workerData));
}

async function drive({ certificate, privateKey: keyPem, aborts, rounds }) {
  const privateKey = createPrivateKey(keyPem);
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const key = { id: 'driver', label: 'driver', algorithm: 'ed25519', usage: 'sign', spki };
  // While held, signatures are never made: their clients leave.
  let held = false;
  let waiting = 0;
  const signer = {
    sign: (_key, _scheme, data, { signal }) => {
      if (!held) return Promise.resolve(sign(null, data, privateKey));
      waiting++;
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
    },
  };
  const credentials = [Credential.fromPem(certificate, key, signer)];
  const terminator = new TlsTerminator({ credentials, pendingSignatureLimit: 1_000 });
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    terminator.accept(socket, { allowHalfOpen: true }).then(
      (secure) => secure.pipe(secure),
      () => undefined,
    );
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();

  const echo = (version) =>
    new Promise((resolve, reject) => {
      const body = randomBytes(200_000);
      const received = [];
      const client = connectTls({
        port,
        ca: certificate,
        servername: 'localhost',
        minVersion: version,
        maxVersion: version,
      });
      client.once('error', reject);
      client.on('data', (chunk) => received.push(chunk));
      client.once('end', () => (Buffer.concat(received).equals(body) ? resolve() : reject(new Error('echo differs'))));
      client.end(body);
    });

  const garbage = () =>
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.once('close', resolve);
      socket.resume();
      const body = randomBytes(1 + Math.floor(Math.random() * 600));
      const header = Buffer.from([20 + Math.floor(Math.random() * 5), 3, 1, body.length >> 8, body.length & 255]);
      socket.end(Math.random() < 0.7 ? Buffer.concat([header, body]) : body);
    });

  const clients = fork(import.meta.filename, ['clients', String(port)], { execArgv: [] });
  const leave = async (count) => {
    held = true;
    for (let done = 0; done < count; done += clientsAtOnce) {
      const target = waiting + clientsAtOnce;
      clients.send('come');
      await until(() => waiting >= target);
      clients.send('leave');
      await until(() => terminator.statistics.handshaking === 0);
    }
    held = false;
  };

  for (let round = 0; round < rounds; round++) {
    await Promise.all([echo('TLSv1.2'), echo('TLSv1.3'), garbage(), garbage(), garbage()]);
  }
  // What a first pass allocates for good (fibre stacks, caches) is not growth.
  await leave(Math.ceil(aborts / 6));
  const before = residentBytes();
  await leave(aborts);
  const after = residentBytes();
  await echo('TLSv1.3');
  await until(() => terminator.statistics.open === 0);
  clients.kill();
  await new Promise((resolve) => server.close(resolve));
  const { sharedObjects } = process.report.getReport();
  const { version: node } = process;
  return { ...loadAddon().counters(), aborted: waiting, grownBytes: after - before, node, sharedObjects };
}

/** Begins handshakes when told to come, and breaks them off, half with FIN and half with RST, when told to leave. */
function serveAsClients(port) {
  let sockets = [];
  process.on('message', (message) => {
    if (message === 'come') {
      sockets = Array.from({ length: clientsAtOnce }, () => {
        const socket = connect(port, '127.0.0.1');
        socket.on('error', () => undefined);
        connectTls({ socket, servername: 'localhost' }).on('error', () => undefined);
        return socket;
      });
    } else {
      sockets.forEach((socket, index) => (index % 2 === 0 ? socket.destroy() : socket.resetAndDestroy()));
    }
  });
}

function residentBytes() {
  for (let round = 0; round < 3; round++) globalThis.gc?.();
  return process.memoryUsage.rss();
}

async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}
