import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { AgentLink } from './agent-link.js';

/** A connection to an agent that several processes share. Whoever started the agent ends it; this ends only the connection. */
export class AgentSocket implements AgentLink {
  readonly stream: Duplex;
  readonly exited: Promise<void>;
  #end = 'connection closed';

  /** @param path  of the socket. That nobody listens shows as an error of the stream. */
  constructor(path: string) {
    const socket: Socket = connect(path);
    this.stream = socket;
    this.exited = new Promise((resolve) => {
      socket.once('error', ({ message }) => (this.#end = message));
      socket.once('close', () => resolve());
    });
  }

  get epitaph(): string {
    return this.#end;
  }

  kill(): void {
    this.stream.destroy();
  }
}
