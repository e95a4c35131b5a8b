import { perform } from '../harness/process.js';
import { loadClients } from './handshaking-clients.js';
import type { LoadResult, LoadTask } from './task.js';

/** Full TLS 1.3 handshakes, one after another on each of many clients: no session is ever resumed. */
perform<LoadTask, LoadResult>((task) => {
  const { handshakes, seconds, cpuMicroseconds } = loadClients().makeHandshakes(task);
  return Promise.resolve({
    handshakes,
    handshakesPerSecond: handshakes / seconds,
    clientMicroseconds: cpuMicroseconds / handshakes,
  });
});
