import type { Socket } from 'node:net';
import { isTls13Suite } from './algorithms.js';
import {
  loadAddon,
  type ServerContext,
  type ServerContextOptions,
  type Session,
  type SessionDescription,
} from './addon.js';
import { parseConfig, type ParsedTerminatorConfig, type TerminatorConfig, terminatorConfigSchema } from './config.js';
import type { Credential } from './credential.js';
import { TlsOffloadError, type TlsOffloadErrorCode } from './errors.js';
import { performHandshake } from './handshake.js';
import { type KeySigner, KeySigners, type SignatureEvent, type SignatureStatistics } from './handshake-signer.js';
import { TlsSocket } from './socket.js';

/** The certificates and keys of a terminator. */
export interface ServedCredentials {
  /** Served to clients that name no server or none of ours; at most one of each kind of key (EC, RSA, Ed25519). */
  readonly credentials: readonly Credential[];
  /** Served to clients that name the server; `*.example.org` stands for one label (RFC 6125 §6.4.3). */
  readonly serverNames?: Readonly<Record<string, readonly Credential[]>>;
}

export interface TerminatorOptions extends TerminatorConfig, ServedCredentials {
  readonly observer?: TerminatorObserver;
}

/** Who counts handshakes. Called synchronously: be quick. */
export interface TerminatorObserver {
  handshakeEnded?(event: HandshakeEvent): void;
  signatureEnded?(event: SignatureEvent): void;
}

export interface HandshakeEvent {
  readonly code: 'OK' | TlsOffloadErrorCode;
  /** Both absent where it failed. */
  readonly protocol?: string;
  readonly cipher?: string;
  /** From the TCP connection on. */
  readonly milliseconds: number;
}

/** A TCP connection and the session on it, after the handshake; paused, with no listener on it but one for 'error'. */
export interface SecuredConnection {
  readonly socket: Socket;
  readonly session: Session;
  readonly description: SessionDescription;
}

/** What a secured connection became. */
export interface OpenConnection {
  destroy(): unknown;
  once(event: 'close', listener: () => void): unknown;
}

/** What a handshake is made with, from its beginning to its end. */
interface Offer {
  readonly context: ServerContext;
  /** By key index. */
  readonly signers: readonly KeySigner[];
}

export interface TerminatorStatistics {
  /** Handshakes under way. */
  readonly handshaking: number;
  /** Connections that are secure and open. */
  readonly open: number;
  /** Handshakes completed, by protocol version. */
  readonly completed: Readonly<Record<string, number>>;
  /** Handshakes failed, by code. */
  readonly failed: Readonly<Partial<Record<TlsOffloadErrorCode, number>>>;
  /** By key label. */
  readonly signatures: Readonly<Record<string, SignatureStatistics>>;
}

/**
 * Terminates TLS 1.2 and 1.3 with keys that stay on the HSM. The protocol is OpenSSL's; only the private-key operation is
 * awaited from outside, so one client's slow signature delays no other.
 */
export class TlsTerminator {
  readonly #config: ParsedTerminatorConfig;
  readonly #observer: TerminatorObserver;
  readonly #signers: KeySigners;
  #offer: Offer;
  readonly #handshaking = new Set<Socket>();
  readonly #open = new Set<OpenConnection>();
  readonly #completed: Record<string, number> = {};
  readonly #failed: Partial<Record<TlsOffloadErrorCode, number>> = {};
  #closed = false;

  /** @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID | ERR_TLS_OFFLOAD_ADDON_UNUSABLE | ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED */
  constructor(options: TerminatorOptions) {
    const { credentials, serverNames, observer = {}, ...config } = options;
    this.#config = parseConfig(terminatorConfigSchema, 'TLS terminator', config);
    this.#observer = observer;
    this.#signers = new KeySigners(this.#config.pendingSignatureLimit, (event) => observer.signatureEnded?.(event));
    this.#offer = this.#newOffer({ credentials, serverNames });
  }

  /**
   * Serves these from the next handshake on, in place of all before. Handshakes under way end with what they began with, and open
   * connections go on.
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED: then everything stays as it was
   */
  setCredentials(credentials: ServedCredentials): void {
    this.#offer = this.#newOffer(credentials);
  }

  get statistics(): TerminatorStatistics {
    return {
      handshaking: this.#handshaking.size,
      open: this.#open.size,
      completed: { ...this.#completed },
      failed: { ...this.#failed },
      signatures: this.#signers.statistics,
    };
  }

  /**
   * Secures one accepted connection, which is the terminator's from here on.
   * @param socket  of a server made with `allowHalfOpen: true`, so that what is queued is still sent after the client's FIN
   * @throws {TlsOffloadError} as `performHandshake`, or ERR_TLS_OFFLOAD_CLOSED
   */
  async accept(socket: Socket, options: { readonly allowHalfOpen?: boolean } = {}): Promise<TlsSocket> {
    const { session, description } = await this.secure(socket);
    const secure = new TlsSocket(socket, session, description, options);
    this.keep(secure);
    return secure;
  }

  /** As `accept`, for who reads and writes the session otherwise than by a stream. What it makes of it goes to `keep`. */
  async secure(socket: Socket): Promise<SecuredConnection> {
    // For the whole life of the connection: a broken one is met as 'close', by whoever holds it then.
    socket.on('error', () => undefined);
    if (this.#closed) {
      socket.destroy();
      throw new TlsOffloadError('ERR_TLS_OFFLOAD_CLOSED', 'terminator: want it open, got it closed');
    }
    const begun = performance.now();
    const { context, signers } = this.#offer;
    const session = new (loadAddon().Session)(context);
    this.#handshaking.add(socket);
    try {
      await performHandshake(socket, session, signers, this.#config.handshakeTimeoutMilliseconds);
    } catch (error) {
      const { code } = error as TlsOffloadError;
      this.#failed[code] = (this.#failed[code] ?? 0) + 1;
      this.#observer.handshakeEnded?.({ code, milliseconds: performance.now() - begun });
      throw error;
    } finally {
      this.#handshaking.delete(socket);
    }
    const description = session.describe();
    const { protocol, cipher } = description;
    this.#completed[protocol] = (this.#completed[protocol] ?? 0) + 1;
    this.#observer.handshakeEnded?.({ code: 'OK', protocol, cipher, milliseconds: performance.now() - begun });
    return { socket, session, description };
  }

  /** Counts it among the open connections, which `close` ends. */
  keep(connection: OpenConnection): void {
    this.#open.add(connection);
    connection.once('close', () => this.#open.delete(connection));
  }

  /**
   * Accepts no more, ends handshakes, and waits for open connections to end.
   * @param graceMilliseconds  after which those still open are destroyed
   */
  async close(graceMilliseconds = 10_000): Promise<void> {
    this.#closed = true;
    for (const socket of this.#handshaking) socket.destroy();
    const ends = [...this.#open].map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())));
    const timer = setTimeout(() => {
      for (const socket of this.#open) socket.destroy();
    }, graceMilliseconds);
    await Promise.all(ends);
    clearTimeout(timer);
  }

  #newOffer({ credentials, serverNames = {} }: ServedCredentials): Offer {
    const signers: KeySigner[] = [];
    const certificates = (of: readonly Credential[]) =>
      of.map((credential) => ({
        chain: credential.chain.map(({ raw }) => raw),
        keyIndex: indexIn(signers, this.#signers.of(credential)),
      }));
    const { cipherSuites, groups, signatureAlgorithms, ...config } = this.#config;
    const ciphersTls12 = cipherSuites.filter((suite) => !isTls13Suite(suite)).join(':');
    const context = newContext({
      credentials: [
        { serverNames: [], certificates: certificates(credentials) },
        ...Object.entries(serverNames).map(([name, of]) => ({ serverNames: [name], certificates: certificates(of) })),
      ],
      alpnProtocols: config.alpnProtocols,
      tls13Only: config.minimumVersion === 'TLSv1.3' || ciphersTls12 === '',
      refuseUnknownNames: config.unknownServerNames === 'refuse',
      ciphersTls12,
      ciphersTls13: cipherSuites.filter(isTls13Suite).join(':'),
      groups: groups.join(':'),
      signatureAlgorithms: signatureAlgorithms.join(':'),
    });
    return { context, signers };
  }
}

function indexIn<Item>(list: Item[], item: Item): number {
  const known = list.indexOf(item);
  return known >= 0 ? known : list.push(item) - 1;
}

function newContext(options: ServerContextOptions): ServerContext {
  const { ServerContext } = loadAddon();
  try {
    return new ServerContext(options);
  } catch (cause) {
    throw new TlsOffloadError(
      'ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED',
      `TLS terminator: want credentials that OpenSSL takes, got ${(cause as Error).message}`,
      { cause },
    );
  }
}
