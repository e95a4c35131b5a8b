import type { Socket } from 'node:net';

/** How long a peer may take to read the last alert. */
const lingerMilliseconds = 1_000;

/**
 * Closes so that the peer can read what was written last: closed with unread input, the kernel would send a reset, which
 * makes the peer drop the alert. So input is read and dropped until the peer closes, for a second at most.
 */
export function closeLingering(socket: Socket): void {
  if (socket.destroyed) return;
  const timer = setTimeout(() => socket.destroy(), lingerMilliseconds);
  timer.unref();
  socket.on('error', () => undefined);
  socket.once('close', () => clearTimeout(timer));
  socket.resume();
  socket.end();
}
