import { type BeforeApplicationShutdown, Injectable, Logger } from '@nestjs/common';
import type { Hsm } from '@nest-hsm/hsm';
import {
  type Credential,
  L4Proxy,
  type L4ProxyStatistics,
  type TlsOffloadError,
  TlsTerminator,
  type TerminatorStatistics,
} from '@nest-hsm/tls-offload';
import type { Config } from '../config.js';
import { SidecarError } from '../sidecar-error.js';
import { obtainCredential } from './certificate.js';

/** The TLS side of the sidecar: closed until there is a certificate to serve. */
@Injectable()
export class TlsGateway implements BeforeApplicationShutdown {
  readonly #logger = new Logger('gateway');
  readonly #stop = new AbortController();
  #credential: Credential | undefined;
  #terminator: TlsTerminator | undefined;
  #proxy: L4Proxy | undefined;

  constructor(
    private readonly hsm: Hsm,
    private readonly config: Config,
  ) {}

  /**
   * Gets the certificate, then listens.
   * @throws {TlsOffloadError | HsmError | SidecarError} what waiting does not mend
   */
  async open(): Promise<void> {
    const credential = await obtainCredential(this.hsm, this.config.certificate, this.#stop.signal);
    const terminator = new TlsTerminator({ ...this.config.tls, credentials: [credential] });
    const { upstream, connectTimeoutMilliseconds, idleTimeoutMilliseconds, connectionLimit } = this.config;
    const forwarding = { upstream, connectTimeoutMilliseconds, idleTimeoutMilliseconds, connectionLimit };
    const proxy = new L4Proxy(terminator, forwarding);
    proxy.server.on('tlsClientError', ({ code, message, fault }: TlsOffloadError) => {
      // A client can fail at will; what fails on our side is worth a line.
      if (fault === 'token') this.#logger.warn(`handshake failed: ${code} ${message}`);
    });
    proxy.server.on('upstreamError', ({ code, message }: TlsOffloadError) => this.#logger.warn(`${code} ${message}`));
    await this.#listen(proxy);
    this.#credential = credential;
    this.#terminator = terminator;
    this.#proxy = proxy;
  }

  /** When the served certificate ends; undefined while there is none. */
  get certificateExpiry(): Date | undefined {
    return this.#credential?.notAfter;
  }

  get handshakes(): TerminatorStatistics | undefined {
    return this.#terminator?.statistics;
  }

  get connections(): L4ProxyStatistics | undefined {
    return this.#proxy?.statistics;
  }

  get isServing(): boolean {
    return this.#proxy?.server.listening ?? false;
  }

  /** Before the token closes: handshakes under way still need it. */
  async beforeApplicationShutdown(): Promise<void> {
    this.#stop.abort(new Error('the sidecar is shutting down'));
    await this.#proxy?.close();
  }

  async #listen(proxy: L4Proxy): Promise<void> {
    const { host, port } = this.config.listen;
    try {
      const address = await proxy.listen(port, host);
      const { upstream } = this.config;
      this.#logger.log(`TLS on ${host}:${address.port}, forwarding to ${upstream.host}:${upstream.port}`);
    } catch (cause) {
      throw listenFault(host, port, cause);
    }
  }
}

export function listenFault(host: string, port: number, cause: unknown): SidecarError {
  const message = `listen: want ${host}:${port} free, got ${(cause as Error).message}`;
  return new SidecarError('ERR_SIDECAR_LISTEN', message, { cause });
}
