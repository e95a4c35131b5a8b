import { Agent, type RequestOptions } from 'node:https';
import type { AgentOptions } from 'node:http';
import type { Duplex } from 'node:stream';
import { TlsOffloadError } from '../errors.js';
import type { TlsConnector } from './connector.js';
import { endOnceSuperseded } from './kept-connection.js';

/** Said of one request, these would ask for something else than the connector does: nothing of it is silently left out. */
const optionsOfTls = [
  ...['ca', 'cert', 'checkServerIdentity', 'ciphers', 'crl', 'ecdhCurve', 'key', 'maxVersion', 'minVersion', 'pfx'],
  ...['secureContext', 'secureOptions', 'secureProtocol', 'sigalgs', 'socketPath'],
] as const;

/**
 * An agent of `https.request`, and of what is built on it (axios, got, node-fetch), over the connections of a connector. It keeps
 * them for further requests unless told `keepAlive: false`: each new one costs a signature of the HSM. It keeps none that was made with
 * other credentials than the connector shows now. Requests are HTTP/1.1.
 *
 * A request that is aborted before it has its connection learns of it when the handshake is over: `connect` of the connector takes a
 * signal, and a request may have a `timeout`.
 *
 * What TLS has to be like is the connector's matter: a request that says it too is refused (ERR_TLS_OFFLOAD_CONFIG_INVALID).
 */
export class HttpsAgent extends Agent {
  constructor(
    private readonly connector: TlsConnector,
    options: AgentOptions = {},
  ) {
    super({ keepAlive: true, ...options });
  }

  override createConnection(
    options: RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    this.#connect(options).then(
      (stream) => callback?.(null, stream),
      (error: Error) => (callback as ((error: Error) => void) | undefined)?.(error),
    );
  }

  async #connect(options: RequestOptions): Promise<Duplex> {
    const said = optionsOfTls.filter((name) => (options as Record<string, unknown>)[name] != null);
    if (options.rejectUnauthorized === false) said.push('rejectUnauthorized' as never);
    if (said.length > 0) {
      const message = `https agent: want what TLS is like from its connector alone, got ${said.join(', ')}`;
      throw new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', message);
    }
    const { port, servername, localAddress, family, hints, lookup, timeout } = options;
    const host = options.host ?? 'localhost';
    const socket = await this.connector.connect({
      host,
      port: Number(port ?? 443),
      // Node.js sets it to the Host of the request, and to nothing for an address.
      serverName: servername || host,
      alpnProtocols: ['http/1.1'],
      localAddress,
      family,
      hints,
      lookup,
      timeoutMilliseconds: timeout || undefined,
    });
    // http knows whether the answer was whole, and fails it with ECONNRESET where it was not.
    socket.closesQuietlyWhenCut = true;
    endOnceSuperseded(this, socket);
    return socket;
  }
}
