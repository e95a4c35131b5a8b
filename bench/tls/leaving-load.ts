import { readFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { connect, createSecureContext } from 'node:tls';
import { perform } from '../harness/process.js';
import type { LeavingResult, LeavingTask } from './task.js';

const atOnce = 64;
/** A handshake takes about as long. */
const patienceMilliseconds = 8;
const said = Buffer.alloc(1_000, 'x');

/** One client of four has its handshake, is answered and says goodbye; the others leave at any moment, half by FIN, half by RST. */
perform<LeavingTask, LeavingResult>(async ({ port, rootFile, connections }) => {
  const secureContext = createSecureContext({ ca: readFileSync(rootFile) });
  let begun = 0;
  let stayed = 0;
  const visitor = async (): Promise<void> => {
    while (begun < connections) {
      const turn = begun++;
      const raw = connectTcp({ port, host: '127.0.0.1' });
      const client = connect({ socket: raw, servername: 'localhost', secureContext });
      const closed = new Promise<void>((resolve) => raw.once('close', () => resolve()));
      for (const socket of [raw, client]) socket.on('error', () => undefined);
      if (turn % 4 === 0) {
        client.once('secureConnect', () => client.write(said));
        client.once('data', () => {
          stayed++;
          client.end();
        });
        await closed;
      } else {
        await pause(Math.random() * patienceMilliseconds);
        if (turn % 2 === 0) raw.destroy();
        else raw.resetAndDestroy();
        await closed;
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, visitor));
  return { stayed, left: connections - stayed };
});
