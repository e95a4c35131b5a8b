import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type TLSSocket } from 'node:tls';
import { perform } from '../harness/process.js';
import type { TransferTask } from './forwarding-task.js';

const chunk = Buffer.alloc(256 * 1024, 'x');

/** One connection that carries many bytes one way, and is done when the other end says so. */
perform<TransferTask, { bytes: number }>(async ({ port, rootFile, direction, bytes }) => {
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: readFileSync(rootFile) });
  await once(socket, 'secureConnect');
  let received = 0;
  socket.on('data', (data: Buffer) => (received += data.length));
  const ended = once(socket, 'end');
  socket.write(`${direction} ${bytes}\n`);
  if (direction === 'up') await send(socket, bytes);
  await ended;
  const wanted = direction === 'down' ? bytes : 1;
  if (received !== wanted) throw new Error(`bench: want ${wanted} bytes, got ${received}`);
  socket.destroy();
  return { bytes };
});

async function send(socket: TLSSocket, bytes: number): Promise<void> {
  for (let left = bytes; left > 0; left -= chunk.length) {
    if (!socket.write(chunk.subarray(0, Math.min(left, chunk.length)))) await once(socket, 'drain');
  }
}
