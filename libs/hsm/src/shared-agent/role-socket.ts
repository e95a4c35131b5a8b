import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { FrameSplitter, FrameWriter } from '../agent/frame.js';
import { writeError } from '../agent/message.js';
import { HsmError } from '../errors.js';
import { type RoleConfig, socketPath } from './config.js';
import { giveDirectory, socketMode, takeDirectory } from './socket-directory.js';

/** How long who is turned away may take to say hello and hear why. */
const farewellMilliseconds = 2_000;

/**
 * The listening socket of one role. It outlives the agents: who connects while there is none waits, unread, until there is one,
 * or is told why there will be none for now.
 */
export class RoleSocket {
  /** @throws {HsmError} ERR_HSM_CONFIG_INVALID */
  static async open(role: RoleConfig, onConnection: () => void): Promise<RoleSocket> {
    await takeDirectory(role);
    const socket = new RoleSocket(role, onConnection);
    try {
      await socket.#listen();
      await giveDirectory(role);
    } catch (error) {
      socket.close();
      throw error;
    }
    return socket;
  }

  readonly path: string;
  readonly #server: Server;
  #waiting: Socket[] = [];
  /** On their way out. */
  readonly #leaving = new Set<Socket>();

  private constructor(
    private readonly role: RoleConfig,
    onConnection: () => void,
  ) {
    this.path = socketPath(role);
    // Not read from here: what a client says is the agent's.
    this.#server = createServer({ pauseOnConnect: true }, (socket) => {
      socket.on('error', () => socket.destroy());
      // The one that has waited longest has most likely given up.
      if (this.#waiting.length >= role.connections) this.#waiting.shift()?.destroy();
      this.#waiting.push(socket);
      onConnection();
    });
  }

  get name(): string {
    return this.role.name;
  }

  /** Whoever has waited longest, and is not this socket's any more. */
  next(): Socket | undefined {
    return this.#waiting.shift();
  }

  /** Tells those who wait why they do so in vain. */
  turnAway(reason: HsmError): void {
    for (const socket of this.#waiting.splice(0)) {
      if (this.#leaving.size >= this.role.connections) socket.destroy();
      else this.#turnAway(socket, reason);
    }
  }

  /** Listens no more, and leaves no file behind. */
  close(): void {
    for (const socket of [...this.#waiting.splice(0), ...this.#leaving]) socket.destroy();
    // Its event `close` would wait for connections that are the agent's now; the file is gone at once.
    this.#server.close();
  }

  async #listen(): Promise<void> {
    // Bound in this turn of the event loop, so that the socket never has a mode that lets in others, nor anything else this one.
    const mask = process.umask(~socketMode(this.role) & 0o777);
    try {
      this.#server.listen(this.path);
    } finally {
      process.umask(mask);
    }
    try {
      await once(this.#server, 'listening');
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      throw new HsmError('ERR_HSM_CONFIG_INVALID', `shared agent: want to listen at ${this.path}, got ${code}`, {
        cause,
      });
    }
    // Descriptors that run out cost the connection that wanted one, and not the agents of all roles.
    this.#server.on('error', () => undefined);
  }

  #turnAway(socket: Socket, reason: HsmError): void {
    const splitter = new FrameSplitter();
    const impatience = setTimeout(() => socket.destroy(), farewellMilliseconds);
    this.#leaving.add(socket);
    socket.once('close', () => {
      clearTimeout(impatience);
      this.#leaving.delete(socket);
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const hello of splitter.push(chunk)) return void socket.end(refusal(hello, reason));
      } catch {
        socket.destroy();
      }
    });
    socket.resume();
  }
}

/** The answer to a request, whatever it asks: u8 verb ‖ u32 request id stand at its beginning. */
function refusal(request: Buffer, reason: HsmError): Buffer {
  const writer = new FrameWriter();
  writeError(writer, request.readUInt32LE(1), reason);
  return writer.frames;
}
