import type { Socket } from 'node:net';
import { handshakeProgress, readEnd, type Session, type SessionDescription } from './addon.js';
import { type TlsOffloadErrorCode, TlsOffloadError } from './errors.js';
import type { Role } from './handshake.js';
import { isCertificateRefusal } from './handshake-refusal.js';
import { closeLingering } from './lingering-close.js';
import { plaintextBuffer, sliceBytes, takePlaintext, takeSlice } from './plaintext-slices.js';
import { TlsSocketFace } from './socket-face.js';

type Callback = (error?: Error | null) => void;

/** How long the peer may hold back what we write, having begun a handshake message and not ended it. */
const heldBackMilliseconds = 5_000;
/** What answers to the peer (key updates) may pile up to while it does not read. */
const unreadAnswerBytes = 1024 * 1024;

export interface TlsSocketOptions {
  readonly allowHalfOpen?: boolean;
  /** `server` unless told. */
  readonly role?: Role;
}

/**
 * A secure connection: the stream of what is inside TLS, in place of a `tls.TLSSocket`. Back-pressure holds both ways;
 * `end()` sends close_notify, and the peer's close_notify ends reading.
 *
 * On a server's side no fault after the handshake is emitted as 'error' (http2 over a stream that fails while it shuts down ends
 * the process): the socket closes, and `failure` says why. A client that does not speak HTTP/2 is told by 'error', as it expects:
 * the system's error where the connection broke, or a TlsOffloadError.
 */
export class TlsSocket extends TlsSocketFace {
  /** Why the connection was closed when neither side asked for it. */
  failure: TlsOffloadError | undefined;
  /** The peer's TCP ended without close_notify: more may have been meant to come (RFC 8446 §6.1). */
  truncated = false;
  /**
   * For a client's user that knows by itself what a cut took from it, as http of Node.js does: the socket then closes without 'end'
   * and without 'error'.
   */
  closesQuietlyWhenCut = false;
  #isSuperseded = false;

  /** The reader had enough, or has not asked yet: the TCP connection is paused and the session may hold some more. */
  #paused = true;
  #rawEnded = false;
  #readEnded = false;
  #resumeWriting: Callback | undefined;
  /** Runs while a write or the end waits for the rest of the peer's handshake message. */
  #heldBack: NodeJS.Timeout | undefined;
  #lingering = false;
  /** A client's reader gets what came before the cut, and the fault after it. */
  #cut = false;
  /** Nobody waits for what the peer may still say. */
  #leaving = false;
  readonly #role: Role;

  /** Takes over a session that is secure and the TCP connection under it, paused. */
  constructor(
    raw: Socket,
    private readonly session: Session,
    description: SessionDescription,
    { allowHalfOpen = false, role = 'server' }: TlsSocketOptions = {},
  ) {
    super(raw, description, { allowHalfOpen, highWaterMark: sliceBytes });
    this.#role = role;
    raw.on('data', (chunk: Buffer) => this.#receive(chunk));
    raw.on('end', () => {
      this.#rawEnded = true;
      this.#receive();
    });
    raw.on('drain', () => this.#takeResumption()?.());
    raw.on('error', (cause) =>
      this.#note('ERR_TLS_OFFLOAD_PEER_GONE', 'want an orderly end, got a broken connection', cause),
    );
    raw.on('close', () => (this.#cut ? this.#closeCut() : this.destroy(this.#failureToEmit())));
    if (raw.destroyed) this.destroy();
  }

  /** Ends the writing side and destroys once everything is written. */
  destroySoon(): void {
    this.#leaving = true;
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /**
   * A client's: its connector shows other credentials by now. Who keeps connections for further requests, which would be made in
   * another's name, ends it: here 'superseded' is emitted.
   */
  get isSuperseded(): boolean {
    return this.#isSuperseded;
  }

  /** For its connector. */
  supersede(): void {
    this.#isSuperseded = true;
    this.emit('superseded');
  }

  /** Breaks the connection with a TCP reset. */
  resetAndDestroy(): this {
    this.raw.resetAndDestroy();
    return this.destroy();
  }

  override _read(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#receive();
    if (!this.#paused) this.raw.resume();
  }

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    // Whoever has taken it may put some of it back.
    if (this.#cut) process.nextTick(() => this.#closeCut());
    return chunk;
  }

  #receive(chunk?: Buffer): void {
    // What comes after close_notify is read and dropped, so that the end of the connection is seen.
    if (this.destroyed || this.#readEnded) return;
    if (this.#paused && chunk !== undefined) this.#finishMessage(chunk);
    else this.#decrypt(chunk);
    this.#writeLate();
  }

  /** The reader has enough, but the rest of a handshake message is waited for: what comes after that is kept as it is. */
  #finishMessage(chunk: Buffer): void {
    const progress = this.session.handshake(chunk);
    this.#send();
    if (progress === handshakeProgress.failed) this.#fail(...this.#reasonOf(this.session.failure()));
  }

  /** Decrypts what has come, and what was left from before, until there is no more or the reader has enough. */
  #decrypt(chunk?: Buffer): void {
    let input = chunk;
    for (;;) {
      const bytes = this.session.read(input, plaintextBuffer());
      input = undefined;
      this.#send();
      if (this.raw.writableLength > unreadAnswerBytes) {
        this.#fail('ERR_TLS_OFFLOAD_PEER_NOT_READING', 'want a peer that reads our answers, got one that only asks');
        return;
      }
      if (bytes === readEnd.closed) return this.#endReading();
      if (bytes === readEnd.failed) {
        this.#fail(...this.#reasonOf(this.session.failure()));
        return;
      }
      if (bytes === 0) break;
      this.noteActivity();
      const wantsMore = this.push(takePlaintext(bytes));
      if (this.destroyed) return;
      if (!wantsMore) {
        this.#paused = true;
        if (this.#heldBack === undefined) this.raw.pause();
        return;
      }
    }
    if (this.#rawEnded) this.#endCut();
  }

  /**
   * To a client's reader it must not look like the end: an answer of HTTP/1.1 may be over with its connection alone (RFC 9112 §9.8).
   * HTTP/2 says itself what is whole, and so do servers' clients, which may cut without harm.
   */
  #endCut(): void {
    this.truncated = true;
    if (this.#role === 'server' || this.alpnProtocol === 'h2') return this.#endReading();
    this.#readEnded = true;
    this.#cut = true;
    this.#note('ERR_TLS_OFFLOAD_PEER_GONE', 'want close_notify, got the end of the TCP connection');
    this.#closeCut();
  }

  /** Once what had come before the cut has been read. */
  #closeCut(): void {
    if (this.readableLength === 0) this.destroy(this.#failureToEmit());
  }

  #endReading(): void {
    this.#readEnded = true;
    this.push(null);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.#encrypt([chunk], callback);
  }

  override _writev(chunks: { chunk: Buffer; encoding: BufferEncoding }[], callback: Callback): void {
    this.#encrypt(
      chunks.map(({ chunk }) => chunk),
      callback,
    );
  }

  #encrypt(pending: Buffer[], callback: Callback): void {
    const resume: Callback = (error) => (error ? callback(error) : this.#encrypt(pending, callback));
    while (pending.length > 0) {
      if (this.session.holdsBack()) return this.#holdBack(resume);
      if (!this.session.write(takeSlice(pending))) {
        this.#fail('ERR_TLS_OFFLOAD_RECORD_INVALID', `want to write, got: ${this.session.failure()}`);
        return callback(this.failure);
      }
      this.noteActivity();
      if (!this.#send()) {
        this.#resumeWriting = resume;
        return;
      }
    }
    callback();
  }

  override _final(callback: Callback): void {
    if (this.session.holdsBack()) {
      return this.#holdBack((error) => (error ? callback(error) : this._final(callback)));
    }
    this.session.shutdown();
    this.#send();
    this.raw.end(() => callback());
  }

  /** Until the rest of the peer's handshake message has come, which is read whether the reader has enough or not. */
  #holdBack(resume: Callback): void {
    this.#resumeWriting = resume;
    this.#heldBack ??= setTimeout(
      () => this.#fail('ERR_TLS_OFFLOAD_HANDSHAKE_TIMEOUT', 'want the rest of a handshake message, got none in time'),
      heldBackMilliseconds,
    ).unref();
    this.raw.resume();
  }

  #writeLate(): void {
    if (this.#heldBack === undefined || this.destroyed || this.session.holdsBack()) return;
    this.#stopHoldingBack();
    if (this.#paused) this.raw.pause();
    if (!this.raw.writableNeedDrain) this.#takeResumption()?.();
  }

  #stopHoldingBack(): void {
    clearTimeout(this.#heldBack);
    this.#heldBack = undefined;
  }

  override _destroy(error: Error | null, callback: Callback): void {
    this.stopIdleTimer();
    this.#stopHoldingBack();
    this.session.close();
    // Ended by us before the peer has: what it still sends must not make the kernel drop what we have sent.
    if (this.#lingering || (this.writableFinished && !this.#readEnded)) closeLingering(this.raw);
    else this.raw.destroy();
    // Made only for a writer that waits: its stack would cost every connection.
    this.#takeResumption()?.(new TlsOffloadError('ERR_TLS_OFFLOAD_CLOSED', 'connection: want it open, got it closed'));
    callback(error);
  }

  /** @returns false when the peer is slower than we are: wait for 'drain' */
  #send(): boolean {
    const output = this.session.takeOutput();
    if (output === undefined || !this.raw.writable) return true;
    return this.raw.write(output);
  }

  #takeResumption(): Callback | undefined {
    const resume = this.#resumeWriting;
    this.#resumeWriting = undefined;
    return resume;
  }

  /** Closes after a fault that OpenSSL has told the peer of. */
  #fail(code: TlsOffloadErrorCode, message: string): void {
    this.#note(code, message);
    this.#lingering = true;
    this.destroy(this.#failureToEmit());
  }

  #reasonOf(reason: string): [TlsOffloadErrorCode, string] {
    return this.#role === 'client' && isCertificateRefusal(reason)
      ? ['ERR_TLS_OFFLOAD_CLIENT_CERTIFICATE_REFUSED', `want a server that accepts our certificate, got: ${reason}`]
      : ['ERR_TLS_OFFLOAD_RECORD_INVALID', `want valid records, got: ${reason}`];
  }

  #failureToEmit(): Error | undefined {
    if (this.#role === 'server' || this.alpnProtocol === 'h2') return undefined;
    if (this.#cut && (this.#leaving || this.closesQuietlyWhenCut)) return undefined;
    return (this.failure?.cause as Error | undefined) ?? this.failure;
  }

  #note(code: TlsOffloadErrorCode, message: string, cause?: unknown): void {
    this.failure ??= new TlsOffloadError(code, `connection: ${message}`, { cause });
  }
}
