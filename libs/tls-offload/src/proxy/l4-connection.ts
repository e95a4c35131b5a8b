import { EventEmitter } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type Forwarding, forwardingEnd, type ForwardingEnd, type ForwardingStatistics, loadAddon } from '../addon.js';
import { TlsOffloadError, type TlsOffloadErrorCode } from '../errors.js';
import type { SecuredConnection } from '../terminator.js';

export interface L4ConnectionOptions {
  readonly upstream: { readonly host: string; readonly port: number };
  readonly connectTimeoutMilliseconds: number;
  readonly idleTimeoutMilliseconds: number;
  /** Absent: as long as both sides like. */
  readonly lifetimeMilliseconds?: number;
}

/**
 * One secured client and the connection to the upstream that is made for it. Once both are there, the addon forwards between
 * them, and JavaScript hears no more of it than the end. Emits `forwarding` when it begins, and `close` with the reason when it did
 * not end in order; both sides are then closed.
 */
export class L4Connection extends EventEmitter<{ forwarding: []; close: [error?: TlsOffloadError] }> {
  readonly #where: string;
  readonly #upstream: Socket;
  #forwarding: Forwarding | undefined;
  #closed = false;

  /** Connects only now that the client is secure: an unfinished handshake costs the upstream nothing. */
  constructor(
    private readonly client: SecuredConnection,
    private readonly options: L4ConnectionOptions,
    /** Sent to the upstream first. */
    private readonly preamble?: Uint8Array,
  ) {
    super();
    const { upstream: address, connectTimeoutMilliseconds } = options;
    this.#where = `upstream ${address.host}:${address.port}`;
    client.socket.once('close', this.#onClientClose);
    this.#upstream = connect({ ...address, allowHalfOpen: true, noDelay: true });
    // Not a byte may be read here that the addon is to read.
    this.#upstream.pause();
    this.#upstream.setTimeout(connectTimeoutMilliseconds, () => {
      const limit = `within ${connectTimeoutMilliseconds} ms`;
      this.#end('ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT', `${this.#where}: want a connection ${limit}, got none`);
    });
    this.#upstream.once('error', (cause) => {
      const message = `${this.#where}: want a connection, got ${cause.message}`;
      this.#end('ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE', message, cause);
    });
    this.#upstream.once('connect', () => this.#forward());
  }

  /** Bytes of plaintext that each side has sent. */
  get statistics(): ForwardingStatistics {
    return this.#forwarding?.statistics() ?? { fromClient: 0, fromUpstream: 0 };
  }

  /** Resets both sides. */
  destroy(): void {
    if (this.#forwarding !== undefined) this.#forwarding.stop();
    else this.#end('ERR_TLS_OFFLOAD_CLOSED', 'connection: want it open, got it closed');
  }

  readonly #onClientClose = (): void => {
    this.#end('ERR_TLS_OFFLOAD_PEER_GONE', 'connection: want the client to stay, got its end');
  };

  #forward(): void {
    const { socket, session } = this.client;
    if (this.#closed) return;
    if (socket.destroyed) return this.#onClientClose();
    if (socket.writableLength > 0) {
      // The end of the handshake is still on its way: written after it, nothing is written when it has gone.
      socket.write('', () => this.#forward());
      return;
    }
    const { idleTimeoutMilliseconds, lifetimeMilliseconds = 0 } = this.options;
    try {
      this.#forwarding = new (loadAddon().Forwarding)(
        session,
        descriptorOf(socket),
        descriptorOf(this.#upstream),
        {
          idleTimeoutMilliseconds,
          lifetimeMilliseconds,
          preamble: this.preamble,
          received: (socket.read() as Buffer | null) ?? undefined,
        },
        (end) => this.#onEnd(end),
      );
    } catch (cause) {
      this.#end('ERR_TLS_OFFLOAD_DESCRIPTORS_EXHAUSTED', `connection: ${(cause as Error).message}`, cause);
      return;
    }
    // The addon has duplicates of the descriptors; what Node.js holds of the connections is not needed any more.
    socket.off('close', this.#onClientClose);
    socket.destroy();
    this.#upstream.destroy();
    this.emit('forwarding');
  }

  #onEnd(end: ForwardingEnd): void {
    switch (end) {
      case forwardingEnd.orderly:
        return this.#close();
      case forwardingEnd.clientGone:
        return this.#end(
          'ERR_TLS_OFFLOAD_PEER_GONE',
          'connection: want close_notify of the client, got its end without',
        );
      case forwardingEnd.recordInvalid:
        return this.#end(
          'ERR_TLS_OFFLOAD_RECORD_INVALID',
          `connection: want valid records, got: ${this.client.session.failure()}`,
        );
      case forwardingEnd.upstreamGone:
        return this.#end('ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE', `${this.#where}: want an orderly end, got a reset`);
      case forwardingEnd.idle:
        return this.#end(
          'ERR_TLS_OFFLOAD_CONNECTION_IDLE',
          `connection: want a byte every ${this.options.idleTimeoutMilliseconds} ms, got none`,
        );
      case forwardingEnd.expired:
        return this.#end(
          'ERR_TLS_OFFLOAD_CONNECTION_EXPIRED',
          `connection: want its end within ${this.options.lifetimeMilliseconds} ms, got none`,
        );
      case forwardingEnd.stopped:
        return this.#end('ERR_TLS_OFFLOAD_CLOSED', 'connection: want it open, got it closed');
      default:
        end satisfies never;
    }
  }

  #end(code: TlsOffloadErrorCode, message: string, cause?: unknown): void {
    this.#close(new TlsOffloadError(code, message, { cause }));
  }

  #close(error?: TlsOffloadError): void {
    if (this.#closed) return;
    this.#closed = true;
    const { socket, session } = this.client;
    // Where the addon forwards, these are its own no more, and nothing happens.
    socket.off('close', this.#onClientClose);
    if (!socket.destroyed) socket.resetAndDestroy();
    this.#upstream.destroy();
    session.close();
    this.emit('close', error);
  }
}

/** Node.js has no public word for it; the handle's has been there since io.js, and its absence would be an error in every test. */
function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { readonly _handle: { readonly fd?: number } | null };
  return handle?.fd ?? -1;
}
