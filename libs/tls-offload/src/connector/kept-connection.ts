import type { Agent } from 'node:http';
import type { TlsSocket } from '../socket.js';

/**
 * Has an agent of Node.js make no further request on a connection whose connector shows other credentials by then. A request that is
 * under way comes to its end.
 * @param socket  that the agent does not have yet
 */
export function endOnceSuperseded(agent: Agent, socket: TlsSocket): void {
  socket.once('superseded', () => {
    const isFree = Object.values(agent.freeSockets).some((kept) => kept?.includes(socket as never));
    if (isFree) socket.destroy();
  });
  // Emitted after each request, to who gives the connection to one that waits, or keeps it.
  socket.on('free', () => {
    if (socket.isSuperseded) socket.destroy();
  });
}
