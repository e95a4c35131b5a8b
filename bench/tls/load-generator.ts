import { readFileSync } from 'node:fs';
import { connect, createSecureContext } from 'node:tls';
import { keepCalling } from '../harness/callers.js';
import { perform } from '../harness/process.js';
import type { LoadResult, LoadTask } from './task.js';

/** Full TLS 1.3 handshakes, one after another on each of many clients: no session is ever resumed. */
perform<LoadTask, LoadResult>(async ({ port, rootFile, clients, seconds }) => {
  const secureContext = createSecureContext({ ca: readFileSync(rootFile), minVersion: 'TLSv1.3' });
  const handshake = () =>
    new Promise<void>((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', secureContext });
      socket.once('error', reject);
      socket.once('secureConnect', () => {
        if (!socket.authorized || socket.isSessionReused()) reject(new Error('bench: want a full handshake we trust'));
        socket.destroy();
        resolve();
      });
    });
  const { calls, seconds: elapsed } = await keepCalling(clients, seconds, handshake);
  return { handshakesPerSecond: calls / elapsed, handshakes: calls };
});
