import { type BeforeApplicationShutdown, Logger } from '@nestjs/common';
import type { Hsm } from '@nest-hsm/hsm';
import {
  type Credential,
  L4Proxy,
  type L4ProxyStatistics,
  type TerminatorStatistics,
  type TlsOffloadError,
  TlsTerminator,
} from '@nest-hsm/tls-offload';
import type { Config } from '../config.js';
import { SidecarError } from '../faults.js';
import { obtainCredential } from './obtain-credential.js';

/** What the sidecar is for: gets its certificate, then takes TLS connections and forwards what is in them. */
export class Forwarding implements BeforeApplicationShutdown {
  readonly #logger = new Logger('tls-sidecar');
  readonly #shutdown = new AbortController();
  #credential: Credential | undefined;
  #terminator: TlsTerminator | undefined;
  #proxy: L4Proxy | undefined;

  constructor(
    private readonly config: Config,
    private readonly hsm: Hsm,
  ) {}

  /**
   * Returns once clients are served, or when the application shuts down before.
   * @throws {SidecarError | TlsOffloadError | HsmError} what waiting would not mend
   */
  async start(): Promise<void> {
    const credential = await obtainCredential(this.hsm, this.config.certificate, this.#shutdown.signal, this.#logger);
    if (credential === undefined) return;
    const terminator = new TlsTerminator({ ...this.config.tls, credentials: [credential] });
    const proxy = new L4Proxy(terminator, { ...this.config.proxy, upstream: this.config.upstream });
    proxy.server.on('tlsClientError', (error: TlsOffloadError) => this.#logFailure(error));
    proxy.server.on('upstreamError', (error: TlsOffloadError) => this.#logFailure(error));
    const { host, port } = this.config.listen;
    try {
      const address = await proxy.listen(port, host);
      this.#logger.log(`TLS on ${address.address}:${address.port} until ${credential.notAfter.toISOString()}`);
    } catch (cause) {
      const message = `listen: want ${host}:${port} free, got ${(cause as Error).message}`;
      throw new SidecarError('ERR_SIDECAR_LISTEN', message, { cause });
    }
    this.#credential = credential;
    this.#terminator = terminator;
    this.#proxy = proxy;
  }

  /** Until when the certificate that is served is valid; undefined while none is. */
  get notAfter(): Date | undefined {
    return this.#credential?.notAfter;
  }

  get statistics(): { readonly terminator: TerminatorStatistics; readonly proxy: L4ProxyStatistics } | undefined {
    if (this.#terminator === undefined || this.#proxy === undefined) return undefined;
    return { terminator: this.#terminator.statistics, proxy: this.#proxy.statistics };
  }

  /** Before the Hsm closes: connections that are open end in their own time, but not for ever. */
  async beforeApplicationShutdown(): Promise<void> {
    this.#shutdown.abort();
    await this.#proxy?.close();
  }

  /** Clients fail all the time, and anybody may make them; the token and the upstream are ours to look after. */
  #logFailure(error: TlsOffloadError): void {
    if (error.fault === 'peer') this.#logger.debug(`${error.code}: ${error.message}`);
    else this.#logger.warn(`${error.code}: ${error.message}`);
  }
}
