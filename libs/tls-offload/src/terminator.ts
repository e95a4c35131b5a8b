import type { Socket } from 'node:net';
import { loadAddon, type Session, type SessionDescription } from './addon.js';
import { type ClientCertificateStatistics, ClientPolicies } from './client-auth.js';
import { parseConfig, type ParsedTerminatorConfig, type TerminatorConfig, terminatorConfigSchema } from './config.js';
import type { Credential } from './credential.js';
import { Connections, type ConnectionStatistics, type OpenConnection } from './connections.js';
import { TlsOffloadError } from './errors.js';
import { performHandshake } from './handshake.js';
import { KeySigners } from './handshake-signer.js';
import { guarded, type TerminatorObserver } from './observer.js';
import { makeOffer, type Offer, type ServedCredentials, type TicketOffer } from './offer.js';
import { TlsSocket } from './socket.js';
import { SourceLimits } from './source-limits.js';
import { Staples, type StaplingStatus } from './stapling.js';
import type { SessionTickets } from './tickets.js';

export interface TerminatorOptions extends TerminatorConfig, ServedCredentials {
  readonly observer?: TerminatorObserver;
  /** Resumes sessions of TLS 1.3. Who opened it closes it, after the terminator. Absent: every client proves itself anew. */
  readonly tickets?: SessionTickets;
  /**
   * Sessions are resumed only by terminators that have the same here: those that serve alike. Else a client that is led from one
   * service to another would take it for the first, having seen no certificate of its own.
   */
  readonly ticketScope?: string;
  /** Keeps the CRLs that are in force for clients' certificates, so that none older is taken after a restart. Absent: forgotten. */
  readonly crlDirectory?: string;
}

/** A TCP connection and the session on it, after the handshake; paused, with no listener on it but one for 'error'. */
export interface SecuredConnection {
  readonly socket: Socket;
  readonly session: Session;
  readonly description: SessionDescription;
}

export interface TerminatorStatistics extends ConnectionStatistics {
  /** Handshakes completed with a session ticket, without a signature; among `completed`. */
  readonly resumed: number;
  readonly clientCertificates: ClientCertificateStatistics;
  readonly staples: readonly StaplingStatus[];
}

/**
 * Terminates TLS 1.2 and 1.3 with keys that stay on the HSM. The protocol is OpenSSL's; only the private-key operation is
 * awaited from outside, so one client's slow signature delays no other.
 */
export class TlsTerminator {
  /** Whether what is asked of clients depends on the server name that they give. */
  readonly asksClientsByName: boolean;
  readonly #config: ParsedTerminatorConfig;
  readonly #signers: KeySigners;
  readonly #clientPolicies: ClientPolicies;
  readonly #staples: Staples;
  readonly #sources: SourceLimits;
  readonly #tickets: TicketOffer | undefined;
  #served: ServedCredentials;
  #offer: Offer;
  readonly #connections: Connections<OpenConnection>;
  #resumed = 0;
  #closed = false;

  /** @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID | ERR_TLS_OFFLOAD_ADDON_UNUSABLE | ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED */
  constructor(options: TerminatorOptions) {
    const {
      credentials,
      serverNames,
      observer: given = {},
      tickets,
      ticketScope = '',
      crlDirectory,
      ...config
    } = options;
    this.#config = parseConfig(terminatorConfigSchema, 'TLS terminator', config);
    this.asksClientsByName = Object.keys(this.#config.clientCertificatesByName).length > 0;
    const observer = guarded(given);
    this.#connections = new Connections(observer);
    this.#tickets = tickets && { keys: tickets.native, scope: ticketScope };
    this.#signers = new KeySigners(this.#config.pendingSignatureLimit, observer.signatureEnded);
    this.#clientPolicies = new ClientPolicies(this.#config, observer.upkeepFailed, crlDirectory);
    this.#sources = new SourceLimits(this.#config.sourceLimits);
    this.#served = { credentials, serverNames };
    this.#staples = new Staples(this.#config.ocspStapling, observer.upkeepFailed);
    try {
      this.#offer = this.#makeOffer(this.#served);
    } catch (error) {
      this.#stopUpkeep();
      throw error;
    }
  }

  /**
   * Serves these from the next handshake on, in place of all before. Handshakes under way end with what they began with, and open
   * connections go on.
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED: then everything stays as it was
   */
  setCredentials(served: ServedCredentials): void {
    try {
      this.#offer = this.#makeOffer(served);
      this.#served = served;
    } finally {
      this.#staples.keep([this.#served.credentials, ...Object.values(this.#served.serverNames ?? {})].flat());
    }
  }

  /**
   * Serves an OCSP response with the certificate of a credential, in place of one that is fetched.
   * @param response  DER (RFC 6960 §4.2.1)
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_STAPLE when it is not one to serve: what was served before stays, unless this one
   * says that the certificate is revoked
   */
  acceptStaple(credential: Credential, response: Uint8Array): void {
    const stapling = this.#staples.of(credential);
    if (stapling !== undefined) return stapling.accept(response);
    const message = 'OCSP staple: want the issuer of the certificate in its chain, got none';
    throw new TlsOffloadError('ERR_TLS_OFFLOAD_STAPLE', message);
  }

  /** Looks at once whether the files of authorities and CRLs have changed, as is done from time to time. */
  async reloadClientAuthorities(): Promise<void> {
    await this.#clientPolicies.look();
  }

  get statistics(): TerminatorStatistics {
    return {
      ...this.#connections.statistics,
      signatures: this.#signers.statistics,
      resumed: this.#resumed,
      clientCertificates: this.#clientPolicies.statistics,
      staples: this.#staples.status,
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

  /**
   * As `accept`, for who reads and writes the session otherwise than by a stream. What it makes of it goes to `keep`.
   * @param source  the client's address, where somebody trusted has said it (PROXY protocol)
   */
  async secure(socket: Socket, source = socket.remoteAddress ?? ''): Promise<SecuredConnection> {
    // For the whole life of the connection: a broken one is met as 'close', by whoever holds it then.
    socket.on('error', () => undefined);
    if (this.#closed) {
      socket.destroy();
      throw new TlsOffloadError('ERR_TLS_OFFLOAD_CLOSED', 'terminator: want it open, got it closed');
    }
    const begun = performance.now();
    if (!this.#sources.enter(source)) {
      socket.destroy();
      const message = `handshake: want no more than sourceLimits allows from one source, got one more from ${source}`;
      throw this.#connections.noteFailure(new TlsOffloadError('ERR_TLS_OFFLOAD_SOURCE_LIMITED', message), begun);
    }
    const { context, signers } = this.#offer;
    const end = this.#connections.begin(socket);
    let session: Session;
    let description: SessionDescription;
    try {
      session = newSession(socket, context);
      const { handshakeTimeoutMilliseconds } = this.#config;
      const onLingering = (ended: Promise<void>): void => this.#sources.hold(source, ended);
      description = await performHandshake(socket, session, signers, handshakeTimeoutMilliseconds, { onLingering });
    } catch (error) {
      throw this.#connections.noteFailure(error as TlsOffloadError, begun);
    } finally {
      end();
      this.#sources.leave(source);
    }
    if (description.resumed) this.#resumed++;
    this.#connections.noteSuccess(description, begun);
    return { socket, session, description };
  }

  /** Counts it among the open connections, which `close` ends. */
  keep(connection: OpenConnection): void {
    this.#connections.keep(connection);
  }

  /**
   * Accepts no more, ends handshakes, and waits for open connections to end.
   * @param graceMilliseconds  after which those still open are destroyed
   */
  async close(graceMilliseconds = 10_000): Promise<void> {
    this.#closed = true;
    await this.#connections.close(graceMilliseconds);
    this.#stopUpkeep();
  }

  #stopUpkeep(): void {
    this.#clientPolicies.close();
    this.#staples.keep([]);
  }

  #makeOffer(served: ServedCredentials): Offer {
    return makeOffer(served, this.#config, this.#signers, this.#clientPolicies, this.#staples, this.#tickets);
  }
}

/** @throws {TlsOffloadError} ERR_TLS_OFFLOAD_HANDSHAKE_FAILED where there is no memory for it: the connection is closed */
function newSession(socket: Socket, context: Offer['context']): Session {
  try {
    return new (loadAddon().Session)(context);
  } catch (cause) {
    socket.destroy();
    const message = `handshake: want a session, got ${(cause as Error).message}`;
    throw new TlsOffloadError('ERR_TLS_OFFLOAD_HANDSHAKE_FAILED', message, { cause });
  }
}
