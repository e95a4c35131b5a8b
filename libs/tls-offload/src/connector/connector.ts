import type { Socket } from 'node:net';
import { loadAddon, type Session, type SessionDescription } from '../addon.js';
import { parseConfig } from '../config.js';
import type { Credential } from '../credential.js';
import { Connections, type ConnectionStatistics } from '../connections.js';
import { TlsOffloadError } from '../errors.js';
import { performHandshake } from '../handshake.js';
import { KeySigners } from '../handshake-signer.js';
import { type CrlStatus, PeerAuthorities } from '../peer-authorities.js';
import { TlsSocket } from '../socket.js';
import { guarded, type TerminatorObserver } from '../observer.js';
import { type ClientOffer, makeClientOffer, newClientSession } from './client-offer.js';
import { type ConnectorConfig, connectorConfigSchema, type ParsedConnectorConfig } from './connector-config.js';
import { connected, openTcp, type TcpTarget } from './tcp-connection.js';

export interface ConnectorOptions extends ConnectorConfig {
  /**
   * Shown to servers that ask for a certificate, and to no other: at most one of each kind of key (EC, RSA, Ed25519), of which the
   * one is taken that the server can verify. Absent: none is ever shown.
   */
  readonly credentials?: readonly Credential[];
  readonly observer?: TerminatorObserver;
  /** Keeps the CRLs that are in force for servers' certificates, so that none older is taken after a restart. Absent: forgotten. */
  readonly crlDirectory?: string;
}

/** What is wanted of one connection. */
export interface SecureOptions {
  /** What the server's certificate has to name: a host name or an address. */
  readonly serverName: string;
  /** In place of those of the connector. */
  readonly alpnProtocols?: readonly string[];
  readonly allowHalfOpen?: boolean;
  /** In place of that of the connector, where it is shorter. */
  readonly timeoutMilliseconds?: number;
  /** Ends the handshake, and the signature that it waits for. */
  readonly signal?: AbortSignal;
}

export interface ConnectOptions extends TcpTarget, Omit<SecureOptions, 'serverName'> {
  readonly host: string;
  /** The host unless told. */
  readonly serverName?: string;
}

export interface ConnectorStatistics extends ConnectionStatistics {
  /** In force. */
  readonly crls: readonly CrlStatus[];
}

/**
 * Connects to servers with TLS 1.2 and 1.3, as a client whose key stays on the HSM. The counterpart of `TlsTerminator`: the protocol
 * is OpenSSL's, the server is verified by it, and only the private-key operation is awaited from outside. No session is resumed:
 * each connection is authenticated anew, and keeping it open is what saves signatures.
 */
export class TlsConnector {
  readonly #config: ParsedConnectorConfig;
  readonly #signers: KeySigners;
  readonly #authorities: PeerAuthorities;
  readonly #connections: Connections<TlsSocket>;
  #shown: readonly Credential[];
  #offer: ClientOffer;
  #closed = false;

  /** @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID | ERR_TLS_OFFLOAD_ADDON_UNUSABLE | ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED */
  constructor({ credentials = [], observer: given = {}, crlDirectory, ...config }: ConnectorOptions = {}) {
    this.#config = parseConfig(connectorConfigSchema, 'TLS connector', config);
    const observer = guarded(given);
    this.#connections = new Connections(observer);
    this.#signers = new KeySigners(this.#config.pendingSignatureLimit, observer.signatureEnded);
    this.#authorities = serverAuthorities(this.#config, crlDirectory, observer.upkeepFailed);
    this.#shown = credentials;
    try {
      this.#offer = this.#makeOffer(credentials);
    } catch (error) {
      this.#authorities.close();
      throw error;
    }
  }

  /**
   * Shows these from the next handshake on. Open connections go on, as `isSuperseded` where these are others than before: an
   * `HttpsAgent` makes no further request on them.
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED: then everything stays as it was
   */
  setCredentials(credentials: readonly Credential[]): void {
    if (areSame(credentials, this.#shown)) return;
    this.#offer = this.#makeOffer(credentials);
    this.#shown = credentials;
    for (const socket of this.#connections.open) socket.supersede();
  }

  /** Looks at once whether the files of authorities and CRLs have changed, as is done from time to time. */
  async reloadAuthorities(): Promise<void> {
    await this.#authorities.look();
  }

  get statistics(): ConnectorStatistics {
    return {
      ...this.#connections.statistics,
      signatures: this.#signers.statistics,
      crls: this.#authorities.crls,
    };
  }

  /**
   * A connection to a server that has proven its name.
   * @throws the system's error where no TCP connection comes about (ECONNREFUSED, ENOTFOUND…), the signal's reason, or
   * {TlsOffloadError} as `performHandshake`, ERR_TLS_OFFLOAD_CONFIG_INVALID for a name that is none, ERR_TLS_OFFLOAD_CLOSED
   */
  async connect({ serverName, ...options }: ConnectOptions): Promise<TlsSocket> {
    options.signal?.throwIfAborted();
    this.#assertOpen();
    return await this.secure(openTcp(options), { ...options, serverName: serverName ?? options.host });
  }

  /**
   * The same over a TCP connection that somebody has made, e.g. through a proxy. It is the connector's from here on.
   * @param socket  better with `allowHalfOpen: true`, so that what is queued is still sent after the server's FIN
   */
  async secure(socket: Socket, options: SecureOptions): Promise<TlsSocket> {
    // For the whole life of the connection: a broken one is met as 'close', by whoever holds it then.
    socket.on('error', () => undefined);
    const { signal } = options;
    const abort = (): void => void socket.destroy();
    signal?.addEventListener('abort', abort, { once: true });
    const end = this.#connections.begin(socket);
    try {
      return await this.#performHandshake(socket, options);
    } catch (error) {
      throw signal?.aborted === true ? signal.reason : error;
    } finally {
      end();
      signal?.removeEventListener('abort', abort);
    }
  }

  /**
   * Ends handshakes, makes no more connections, and waits for open ones to end.
   * @param graceMilliseconds  after which those still open are destroyed
   */
  async close(graceMilliseconds = 0): Promise<void> {
    this.#closed = true;
    await this.#connections.close(graceMilliseconds);
    this.#authorities.close();
  }

  async #performHandshake(socket: Socket, options: SecureOptions): Promise<TlsSocket> {
    const begun = performance.now();
    const { allowHalfOpen, timeoutMilliseconds = Infinity, signal } = options;
    const timeout = Math.max(1, Math.min(timeoutMilliseconds, this.#config.handshakeTimeoutMilliseconds));
    const offer = this.#offer;
    const session = await this.#begin(socket, offer, options, timeout);
    let description: SessionDescription;
    try {
      const left = Math.max(1, Math.ceil(timeout - (performance.now() - begun)));
      description = await performHandshake(socket, session, offer.signers, left, { role: 'client' });
    } catch (error) {
      if (signal?.aborted === true) throw error;
      throw this.#connections.noteFailure(error as TlsOffloadError, begun);
    }
    this.#connections.noteSuccess(description, begun);
    const secure = new TlsSocket(socket, session, description, { allowHalfOpen, role: 'client' });
    // In one turn: who replaces the credentials finds it among the open ones, or it finds them replaced.
    this.#connections.keep(secure);
    if (offer !== this.#offer) secure.supersede();
    return secure;
  }

  /** Waits for the TCP connection, which is destroyed where nothing comes of it. */
  async #begin(
    socket: Socket,
    offer: ClientOffer,
    { serverName, alpnProtocols = this.#config.alpnProtocols, signal }: SecureOptions,
    timeoutMilliseconds: number,
  ): Promise<Session> {
    try {
      signal?.throwIfAborted();
      this.#assertOpen();
      await connected(socket, timeoutMilliseconds);
      return newClientSession(offer, serverName, alpnProtocols);
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  #makeOffer(credentials: readonly Credential[]): ClientOffer {
    return makeClientOffer(credentials, this.#config, this.#authorities.native, this.#signers);
  }

  #assertOpen(): void {
    if (this.#closed) throw new TlsOffloadError('ERR_TLS_OFFLOAD_CLOSED', 'connector: want it open, got it closed');
  }
}

function areSame(some: readonly Credential[], others: readonly Credential[]): boolean {
  return some.length === others.length && some.every((each, index) => each === others[index]);
}

/** @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID for files that cannot be used */
function serverAuthorities(
  config: ParsedConnectorConfig,
  crlDirectory: string | undefined,
  failed: (error: TlsOffloadError) => void,
): PeerAuthorities {
  const { caFile, crlFiles, maximumIntermediates, maximumChainBytes, reloadIntervalMilliseconds } = config;
  const native = new (loadAddon().PeerAuth)({
    peer: 'server',
    required: true,
    checkCrls: crlFiles.length > 0,
    maximumIntermediates,
    maximumChainBytes,
    rules: [],
  });
  const files = { caFile, crlFiles, crlDirectory, reloadIntervalMilliseconds };
  return new PeerAuthorities(native, files, 'ERR_TLS_OFFLOAD_SERVER_AUTHORITIES', failed);
}
