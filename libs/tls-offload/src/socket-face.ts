import { X509Certificate } from 'node:crypto';
import type { AddressInfo, Server, Socket } from 'node:net';
import { Duplex, type DuplexOptions } from 'node:stream';
import type { PeerCertificate } from 'node:tls';
import type { SessionDescription } from './addon.js';

/**
 * What frameworks expect of a `tls.TLSSocket` beside its stream: addresses, what was negotiated, the peer's certificate, the idle
 * timer, and the knobs of the TCP connection. What Node.js does with sessions (`getSession`, tickets) is not here: it is OpenSSL's.
 */
export abstract class TlsSocketFace extends Duplex {
  readonly encrypted = true;
  /** Whether the peer has a certificate, which OpenSSL then has verified: a handshake with any other has failed. */
  readonly authorized: boolean;
  readonly authorizationError = null;
  readonly alpnProtocol: string | false;
  readonly servername: string | false;
  readonly connecting = false;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly remoteFamily: string | undefined;
  /** Set by http, which emits 'timeout' on it. */
  server: Server | null = null;
  /** Idle milliseconds before 'timeout' is emitted; 0: never. */
  timeout = 0;

  #idleTimer: NodeJS.Timeout | undefined;
  #peerChain: readonly X509Certificate[] | undefined;

  protected constructor(
    protected readonly raw: Socket,
    private readonly description: SessionDescription,
    options: DuplexOptions,
  ) {
    super(options);
    this.alpnProtocol = description.alpnProtocol || false;
    this.servername = description.serverName || false;
    this.authorized = description.peerCertificates.length > 0;
    ({ remoteAddress: this.remoteAddress, remotePort: this.remotePort, remoteFamily: this.remoteFamily } = raw);
  }

  // Asked of the system where somebody wants to know; of a connection that is closed nobody knows any more.
  get localAddress(): string | undefined {
    return this.raw.localAddress;
  }

  get localPort(): number | undefined {
    return this.raw.localPort;
  }

  get localFamily(): string | undefined {
    return this.raw.localFamily;
  }

  /** `TLSv1.2` or `TLSv1.3`. */
  getProtocol(): string {
    return this.description.protocol;
  }

  getCipher(): { name: string; standardName: string; version: string } {
    const { cipher, cipherStandardName, cipherVersion } = this.description;
    return { name: cipher, standardName: cipherStandardName, version: cipherVersion };
  }

  /** The key exchange group, e.g. `X25519MLKEM768`. */
  getKeyExchangeGroup(): string {
    return this.description.group;
  }

  /** The key exchange, in the words of Node.js; its group is that of `getKeyExchangeGroup`. */
  getEphemeralKeyInfo(): { type: string; name: string } {
    return { type: 'ECDH', name: this.description.group };
  }

  /** What the peer proved itself with, leaf first; empty: with nothing. */
  get peerCertificateChain(): readonly X509Certificate[] {
    return (this.#peerChain ??= this.description.peerCertificates.map((der) => new X509Certificate(der)));
  }

  /**
   * As Node.js describes a certificate; an empty object for a peer without one.
   * @param detailed  adds `issuerCertificate`, up to the last of the chain
   */
  getPeerCertificate(detailed = false): PeerCertificate | Record<string, never> {
    const [leaf, ...issuers] = this.peerCertificateChain.map((certificate) => certificate.toLegacyObject());
    if (leaf === undefined) return {};
    if (detailed) {
      issuers.reduce(
        (subject, issuer) => Object.assign(subject, { issuerCertificate: issuer }).issuerCertificate,
        leaf,
      );
    }
    return leaf;
  }

  getPeerX509Certificate(): X509Certificate | undefined {
    return this.peerCertificateChain[0];
  }

  isSessionReused(): boolean {
    return this.description.resumed;
  }

  getSession(): undefined {
    return undefined;
  }

  getTLSTicket(): undefined {
    return undefined;
  }

  /** There is none anyway. */
  disableRenegotiation(): void {
    return undefined;
  }

  get bytesRead(): number {
    return this.raw.bytesRead;
  }

  get bytesWritten(): number {
    return this.raw.bytesWritten;
  }

  address(): AddressInfo | object {
    return this.raw.address();
  }

  setNoDelay(noDelay?: boolean): this {
    this.raw.setNoDelay(noDelay);
    return this;
  }

  setKeepAlive(enable?: boolean, initialDelay?: number): this {
    this.raw.setKeepAlive(enable, initialDelay);
    return this;
  }

  ref(): this {
    this.raw.ref();
    return this;
  }

  unref(): this {
    this.raw.unref();
    return this;
  }

  /** As `net.Socket` has it: emits 'timeout' after so many milliseconds without a byte either way; 0 disables. */
  setTimeout(milliseconds: number, listener?: () => void): this {
    clearTimeout(this.#idleTimer);
    this.#idleTimer = undefined;
    this.timeout = milliseconds;
    if (milliseconds > 0 && !this.destroyed) {
      this.#idleTimer = setTimeout(() => this.emit('timeout'), milliseconds);
      this.#idleTimer.unref();
    }
    if (listener !== undefined) {
      if (milliseconds > 0) this.once('timeout', listener);
      else this.off('timeout', listener);
    }
    return this;
  }

  /** A byte has moved: the idle time begins anew. */
  protected noteActivity(): void {
    this.#idleTimer?.refresh();
  }

  protected stopIdleTimer(): void {
    clearTimeout(this.#idleTimer);
  }
}
