import { once } from 'node:events';
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import { Logger } from '@nestjs/common';
import { addressOf, type ListenConfig } from '../config.js';
import { SidecarError } from '../faults.js';
import type { ActivatedSockets } from './activation.js';

/** An address that is listened on, whoever serves its connections at the moment. */
export class BoundPort {
  /** @throws {SidecarError} ERR_SIDECAR_LISTEN */
  static async open(
    listen: ListenConfig,
    activated: ActivatedSockets,
    accept: (socket: Socket) => void,
  ): Promise<BoundPort> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, accept);
    try {
      server.listen(optionsOf(listen, activated));
      await once(server, 'listening');
    } catch (cause) {
      if (cause instanceof SidecarError) throw cause;
      const message = `listen: want ${addressOf(listen)} free, got ${(cause as Error).message}`;
      throw new SidecarError('ERR_SIDECAR_LISTEN', message, { cause });
    }
    const logger = new Logger('port');
    // One that cannot be accepted now (EMFILE) waits in the kernel's queue, and is no reason to end all others.
    server.on('error', ({ message }) =>
      logger.warn(`${addressOf(listen)}: want to accept a connection, got ${message}`),
    );
    return new BoundPort(server);
  }

  private constructor(private readonly server: Server) {}

  /** Where, in words. */
  get address(): string {
    const address = this.server.address();
    return address === null || typeof address === 'string' ? String(address) : `${address.address}:${address.port}`;
  }

  /** Accepts no more; connections go on. */
  close(): void {
    this.server.close();
  }
}

function optionsOf(listen: ListenConfig, activated: ActivatedSockets): ListenOptions & { fd?: number } {
  if (!('activated' in listen)) return listen;
  const descriptor = activated[listen.activated];
  if (descriptor !== undefined) return { fd: descriptor };
  const names = Object.keys(activated).join(', ') || 'none';
  throw new SidecarError(
    'ERR_SIDECAR_LISTEN',
    `listen: want socket ${listen.activated} of the service manager, got ${names}`,
  );
}
