import { readFileSync } from 'node:fs';
import { connect, createSecureContext } from 'node:tls';
import { keepCalling } from '../harness/callers.js';
import { perform } from '../harness/process.js';
import type { LoadResult, LoadTask } from './task.js';

/**
 * Full TLS 1.3 handshakes, one after another on each of many clients: no session is ever resumed. All of them with X25519, which
 * every side knows: the OpenSSL that nginx has here is too old for X25519MLKEM768.
 */
perform<LoadTask, LoadResult>(async ({ port, rootFile, clients, seconds }) => {
  const ca = readFileSync(rootFile);
  const secureContext = createSecureContext({ ca, minVersion: 'TLSv1.3', ecdhCurve: 'X25519' });
  const handshake = () =>
    new Promise<void>((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', secureContext });
      socket.once('error', reject);
      socket.once('secureConnect', () => {
        if (!socket.authorized || socket.isSessionReused()) reject(new Error('bench: want a full handshake we trust'));
        // In the next turn: before that its last message has not left, and the server would not be done.
        setImmediate(() => {
          socket.destroy();
          resolve();
        });
      });
    });
  const { calls, seconds: elapsed } = await keepCalling(clients, seconds, handshake);
  return { handshakesPerSecond: calls / elapsed, handshakes: calls };
});
