import type { Socket } from 'node:net';
import { TlsOffloadError } from '../errors.js';
import { parseProxyHeader, type ProxiedEndpoints } from './proxy-protocol.js';

/**
 * Takes the PROXY header that a trusted peer's connection begins with.
 * @param socket  whose 'error' events somebody listens to
 * @returns with the socket paused, and what follows the header to be read from it
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_PROXY_HEADER_INVALID | ERR_TLS_OFFLOAD_PEER_GONE, the socket destroyed
 */
export function readProxyHeader(socket: Socket, timeoutMilliseconds: number): Promise<ProxiedEndpoints | undefined> {
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    const fail = (
      code: 'ERR_TLS_OFFLOAD_PROXY_HEADER_INVALID' | 'ERR_TLS_OFFLOAD_PEER_GONE',
      message: string,
    ): void => {
      reject(new TlsOffloadError(code, `PROXY header: ${message}`));
    };
    const settle = (): void => {
      clearTimeout(timer);
      socket.off('data', onData);
      socket.off('end', onGone);
      socket.off('close', onGone);
    };
    const onGone = (): void => {
      settle();
      socket.destroy();
      fail('ERR_TLS_OFFLOAD_PEER_GONE', 'want it whole, got the end of the connection');
    };
    const onData = (chunk: Buffer): void => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      try {
        const header = parseProxyHeader(received);
        if (header === undefined) return;
        settle();
        socket.pause();
        if (header.bytes < received.length) socket.unshift(received.subarray(header.bytes));
        resolve(header.endpoints);
      } catch (error) {
        settle();
        socket.destroy();
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    };
    const timer = setTimeout(() => {
      settle();
      socket.destroy();
      fail('ERR_TLS_OFFLOAD_PROXY_HEADER_INVALID', `want it within ${timeoutMilliseconds} ms, got no end of it`);
    }, timeoutMilliseconds);
    socket.on('data', onData);
    socket.on('end', onGone);
    socket.on('close', onGone);
  });
}
