import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { serve } from './server-process.js';

const chunk = Buffer.alloc(256 * 1024, 'x');

/**
 * What both forwarders forward to. The first line of a connection says what it does: `down N` sends N bytes and ends, `up N` answers
 * with one byte once it has got as many and ends, `idle` does nothing until the other end does.
 */
serve<object>(async () => {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (first: Buffer) => {
      const end = first.indexOf('\n');
      const [direction, bytes] = first.toString('latin1', 0, end).split(' ');
      if (direction === 'down') pour(socket, Number(bytes));
      if (direction === 'up') take(socket, Number(bytes) - (first.length - end - 1));
      if (direction === 'idle') socket.on('end', () => socket.end()).resume();
    });
  });
  server.maxConnections = 65_536;
  await once(server.listen({ port: 0, host: '127.0.0.1', backlog: 1_024 }), 'listening');
  return { port: (server.address() as AddressInfo).port, stop: () => void server.close() };
});

function pour(socket: Socket, bytes: number): void {
  let left = bytes;
  const more = (): void => {
    while (left > 0) {
      const size = Math.min(left, chunk.length);
      left -= size;
      if (!socket.write(chunk.subarray(0, size))) return;
    }
    socket.off('drain', more);
    socket.end();
  };
  socket.on('drain', more);
  more();
}

function take(socket: Socket, bytes: number): void {
  let left = bytes;
  socket.on('data', (data: Buffer) => {
    left -= data.length;
    if (left <= 0) socket.end('!');
  });
}
