import type { Socket } from 'node:net';
import type { SessionDescription } from './addon.js';
import type { TlsOffloadError, TlsOffloadErrorCode } from './errors.js';
import type { SignatureStatistics } from './handshake-signer.js';
import type { TerminatorObserver } from './observer.js';

/** Of a terminator or a connector. */
export interface ConnectionStatistics {
  /** Connections that are not secure yet. */
  readonly handshaking: number;
  /** Connections that are secure and open. */
  readonly open: number;
  /** Handshakes completed, by protocol version. */
  readonly completed: Readonly<Record<string, number>>;
  /** Handshakes failed, by code. Of a connector: not those that were aborted, nor where no TCP connection came about. */
  readonly failed: Readonly<Partial<Record<TlsOffloadErrorCode, number>>>;
  /** By key label. */
  readonly signatures: Readonly<Record<string, SignatureStatistics>>;
}

/** What a secured connection became. */
export interface OpenConnection {
  destroy(): unknown;
  once(event: 'close', listener: () => void): unknown;
}

/** The connections of a terminator or a connector, to be counted and ended: those that become secure, and those that are. */
export class Connections<Open extends OpenConnection> {
  readonly #handshaking = new Set<Socket>();
  readonly #open = new Set<Open>();
  readonly #completed: Record<string, number> = {};
  readonly #failed: Partial<Record<TlsOffloadErrorCode, number>> = {};

  constructor(private readonly observer: Required<TerminatorObserver>) {}

  get statistics(): Omit<ConnectionStatistics, 'signatures'> {
    return {
      handshaking: this.#handshaking.size,
      open: this.#open.size,
      completed: { ...this.#completed },
      failed: { ...this.#failed },
    };
  }

  get open(): Iterable<Open> {
    return this.#open;
  }

  /** @returns to call when the handshake is over, however it went */
  begin(socket: Socket): () => void {
    this.#handshaking.add(socket);
    return () => void this.#handshaking.delete(socket);
  }

  /** @param begun  by `performance.now()` */
  noteSuccess({ protocol, cipher }: SessionDescription, begun: number): void {
    this.#completed[protocol] = (this.#completed[protocol] ?? 0) + 1;
    this.observer.handshakeEnded({ code: 'OK', protocol, cipher, milliseconds: performance.now() - begun });
  }

  /** @returns the same, to be thrown */
  noteFailure(error: TlsOffloadError, begun: number): TlsOffloadError {
    const { code } = error;
    this.#failed[code] = (this.#failed[code] ?? 0) + 1;
    this.observer.handshakeEnded({ code, milliseconds: performance.now() - begun });
    return error;
  }

  /** Counts it among the open ones until it closes. */
  keep(connection: Open): void {
    this.#open.add(connection);
    connection.once('close', () => this.#open.delete(connection));
  }

  /** Ends handshakes, and waits for open connections. @param graceMilliseconds  after which those still open are destroyed */
  async close(graceMilliseconds: number): Promise<void> {
    for (const socket of this.#handshaking) socket.destroy();
    const ends = [...this.#open].map((each) => new Promise<void>((resolve) => each.once('close', () => resolve())));
    const timer = setTimeout(() => {
      for (const each of this.#open) each.destroy();
    }, graceMilliseconds);
    await Promise.all(ends);
    clearTimeout(timer);
  }
}
