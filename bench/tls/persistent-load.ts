import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { connect, createSecureContext } from 'node:tls';
import { keepCalling } from '../harness/callers.js';
import { perform } from '../harness/process.js';
import type { PersistentResult, PersistentTask } from './task.js';

const pauseMilliseconds = 20;

/** Clients that go on when a handshake has failed, and say how many have and when the others were through. */
perform<PersistentTask, PersistentResult>(async ({ port, rootFile, clients, seconds }) => {
  const secureContext = createSecureContext({ ca: readFileSync(rootFile), minVersion: 'TLSv1.3' });
  const succeededAt: number[] = [];
  let failed = 0;
  const handshake = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', secureContext });
      socket.once('secureConnect', () => {
        resolve(true);
        setImmediate(() => socket.destroy());
      });
      socket.once('error', () => resolve(false));
      socket.once('close', () => resolve(false));
    });
  await keepCalling(clients, seconds, async () => {
    if (await handshake()) succeededAt.push(Date.now());
    else failed++;
    await pause(pauseMilliseconds);
  });
  return { failed, succeededAt };
});
