import { isIPv6, type Socket } from 'node:net';
import type { ParsedProxyHeaderConfig } from '../config.js';
import { TrustedPeers } from '../peer-address.js';
import { readProxyHeader } from './proxy-header-reader.js';
import type { ProxiedEndpoints } from './proxy-protocol.js';

/** Load balancers before an HTTP server, that say by the PROXY protocol whose connections they hand on. */
export class ProxiedPeers {
  readonly #trusted: TrustedPeers;

  constructor(private readonly config: ParsedProxyHeaderConfig) {
    this.#trusted = new TrustedPeers(config.trustedPeers);
  }

  /** Whether a connection has to begin with a header. */
  has({ remoteAddress = '' }: Socket): boolean {
    return this.#trusted.has(remoteAddress);
  }

  /**
   * Takes the header: from then on the connection's ends are the client's own, to whoever asks for its addresses.
   * @param accept  who reads what comes after it
   * @throws {TlsOffloadError} as `readProxyHeader`
   */
  async introduce<Accepted>(socket: Socket, accept: () => Promise<Accepted>): Promise<Accepted> {
    socket.on('error', () => undefined);
    const endpoints = await readProxyHeader(socket, this.config.headerTimeoutMilliseconds);
    if (endpoints !== undefined) showEndpoints(socket, endpoints);
    const accepted = accept();
    socket.resume();
    return accepted;
  }
}

/** Own properties stand before those of net.Socket, which ask the system. */
function showEndpoints(socket: Socket, endpoints: ProxiedEndpoints): void {
  const { sourceAddress, sourcePort, destinationAddress, destinationPort } = endpoints;
  const familyOf = (address: string): string => (isIPv6(address) ? 'IPv6' : 'IPv4');
  const shown = {
    remoteAddress: sourceAddress,
    remotePort: sourcePort,
    remoteFamily: familyOf(sourceAddress),
    localAddress: destinationAddress,
    localPort: destinationPort,
    localFamily: familyOf(destinationAddress),
  };
  for (const [name, value] of Object.entries(shown)) Object.defineProperty(socket, name, { value });
}
