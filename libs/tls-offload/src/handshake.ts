import type { Socket } from 'node:net';
import { handshakeProgress, type Session, type SessionDescription } from './addon.js';
import { TlsOffloadError } from './errors.js';
import { refusalOf } from './handshake-refusal.js';
import type { KeySigner, Lingering } from './handshake-signer.js';
import { closeLingering } from './lingering-close.js';

/** Which end of a connection is ours. */
export type Role = 'server' | 'client';

export interface HandshakeOptions {
  /** `server` unless told; a client begins. */
  readonly role?: Role;
  /** Told when the handshake ends while a token is at work for it. */
  readonly onLingering?: Lingering;
}

/**
 * Runs one handshake over a TCP connection. While it waits for its signature nothing is held but a paused fibre in the
 * session; the event loop serves others.
 * @param signers  by key index
 * @param socket  whose 'error' events somebody listens to
 * @returns once secure, what was negotiated, with the socket paused and no listener of ours left on it
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_HANDSHAKE_FAILED | …_CLIENT_CERTIFICATE_REFUSED | …_SERVER_NAME_MISMATCH | …_SERVER_CERTIFICATE_EXPIRED |
 * …_SERVER_CERTIFICATE_REVOKED | …_SERVER_UNTRUSTED | …_HANDSHAKE_TIMEOUT | …_PEER_GONE | …_SIGNATURE_FAILED | …_SIGNATURE_TIMEOUT |
 * …_SIGNATURES_SATURATED, the session closed and the peer told by an alert where there is one to tell
 */
export function performHandshake(
  socket: Socket,
  session: Session,
  signers: readonly KeySigner[],
  timeoutMilliseconds: number,
  options: HandshakeOptions = {},
): Promise<SessionDescription> {
  return new Handshake(socket, session, signers, timeoutMilliseconds, options).outcome;
}

class Handshake {
  readonly outcome: Promise<SessionDescription>;
  readonly #cancellation = new AbortController();
  readonly #deadline: number;
  readonly #timer: NodeJS.Timeout;
  #settle: { resolve: (description: SessionDescription) => void; reject: (error: TlsOffloadError) => void };
  #settled = false;
  readonly #begunAt = performance.now();
  /** While the token signs. */
  #signingSince: number | undefined;

  constructor(
    private readonly socket: Socket,
    private readonly session: Session,
    private readonly signers: readonly KeySigner[],
    private readonly timeoutMilliseconds: number,
    private readonly options: HandshakeOptions,
  ) {
    this.outcome = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.#deadline = this.#begunAt + timeoutMilliseconds;
    this.#timer = setTimeout(this.#onTimeout, timeoutMilliseconds);
    socket.on('data', this.#onData);
    socket.on('end', this.#onGone);
    // A connection error is met here too: its listener is somebody else's.
    socket.on('close', this.#onGone);
    if (socket.destroyed) this.#onGone();
    else if (options.role === 'client') this.#advance();
  }

  readonly #onData = (chunk: Buffer): void => this.#advance(chunk);

  /** A peer cannot finish a handshake after its FIN, so end is as good as a reset: nobody is left to tell. */
  readonly #onGone = (): void => {
    // A server has no patience for a token, and is not to be blamed for that; a client may leave whenever it likes.
    const code =
      this.options.role === 'client' && this.#isLateByToken
        ? 'ERR_TLS_OFFLOAD_SIGNATURE_TIMEOUT'
        : 'ERR_TLS_OFFLOAD_PEER_GONE';
    this.#fail(new TlsOffloadError(code, 'handshake: want the peer to stay, got its end'));
    this.socket.destroy();
  };

  readonly #onTimeout = (): void => {
    const limit = `within ${this.timeoutMilliseconds} ms`;
    const error = this.#isLateByToken
      ? new TlsOffloadError('ERR_TLS_OFFLOAD_SIGNATURE_TIMEOUT', `handshake: want a signature ${limit}, got none`)
      : new TlsOffloadError('ERR_TLS_OFFLOAD_HANDSHAKE_TIMEOUT', `handshake: want its end ${limit}, got nothing more`);
    if (this.#signingSince !== undefined) return this.#refuse(error);
    this.#fail(error);
    this.socket.destroy();
  };

  /** Whether it waits for a signature, and has waited longer for that than for all else. */
  get #isLateByToken(): boolean {
    const since = this.#signingSince;
    return since !== undefined && performance.now() - since > since - this.#begunAt;
  }

  #advance(input?: Buffer): void {
    const progress = this.session.handshake(input);
    this.#send();
    switch (progress) {
      case handshakeProgress.wantInput:
        return;
      case handshakeProgress.wantSignature:
        if (this.#signingSince === undefined) this.#sign();
        return;
      case handshakeProgress.secure:
        this.#succeed();
        return;
      case handshakeProgress.failed:
        this.#fail(refusalOf(this.session, this.options.role));
        closeLingering(this.socket);
    }
  }

  #sign(): void {
    const wanted = this.session.signatureWanted();
    const input = this.session.signatureInput();
    if (wanted === undefined || input === undefined) return;
    const now = performance.now();
    this.#signingSince = now;
    const deadlineMilliseconds = Math.max(1, Math.round(this.#deadline - now));
    const options = { deadlineMilliseconds, signal: this.#cancellation.signal, onLingering: this.options.onLingering };
    this.signers[wanted.keyIndex].sign(wanted, input, options).then(
      (signature) => {
        // An answer that comes after the end of the handshake is dropped: its session is closed.
        if (this.#settled) return;
        this.#signingSince = undefined;
        this.session.deliver(signature);
        this.#advance();
      },
      (error: TlsOffloadError) => {
        if (!this.#settled) this.#refuse(error);
      },
    );
  }

  /** Ends a handshake that waits for its signature: OpenSSL tells the peer internal_error (RFC 8446 §6.2). */
  #refuse(error: TlsOffloadError): void {
    this.session.deliver();
    this.session.handshake();
    this.#send();
    this.#fail(error);
    closeLingering(this.socket);
  }

  #send(): void {
    const output = this.session.takeOutput();
    if (output !== undefined && this.socket.writable) this.socket.write(output);
  }

  #succeed(): void {
    let description: SessionDescription;
    try {
      description = this.session.describe();
    } catch (cause) {
      const message = `handshake: want to know what was negotiated, got ${(cause as Error).message}`;
      this.#fail(new TlsOffloadError('ERR_TLS_OFFLOAD_HANDSHAKE_FAILED', message, { cause }));
      return void this.socket.destroy();
    }
    this.#leave();
    this.socket.pause();
    this.#settle.resolve(description);
  }

  #fail(error: TlsOffloadError): void {
    this.#leave();
    this.#cancellation.abort();
    this.session.close();
    this.#settle.reject(error);
  }

  #leave(): void {
    this.#settled = true;
    clearTimeout(this.#timer);
    this.socket.off('data', this.#onData);
    this.socket.off('end', this.#onGone);
    this.socket.off('close', this.#onGone);
  }
}
