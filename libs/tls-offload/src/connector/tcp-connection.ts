import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import { TlsOffloadError } from '../errors.js';

/** Where to, and from where, as `net.connect` has it. */
export type TcpTarget = Pick<
  TcpNetConnectOpts,
  'host' | 'port' | 'localAddress' | 'localPort' | 'family' | 'hints' | 'lookup'
>;

/** What is queued is still sent after the server's FIN. */
export function openTcp({ host, port, localAddress, localPort, family, hints, lookup }: TcpTarget): Socket {
  const options = { host, port, localAddress, localPort, family, hints, lookup };
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return connect({ ...given, port, noDelay: true, allowHalfOpen: true });
}

/**
 * @param socket  whose 'error' events somebody listens to
 * @throws the system's error, e.g. ECONNREFUSED, or {TlsOffloadError} ERR_TLS_OFFLOAD_HANDSHAKE_TIMEOUT | ERR_TLS_OFFLOAD_PEER_GONE
 */
export function connected(socket: Socket, timeoutMilliseconds: number): Promise<void> {
  if (!socket.connecting) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      clearTimeout(timer);
      socket.off('connect', onConnect).off('error', onError).off('close', onClose);
    };
    const onConnect = (): void => {
      leave();
      resolve();
    };
    const onError = (error: Error): void => {
      leave();
      reject(error);
    };
    const onClose = (): void =>
      onError(new TlsOffloadError('ERR_TLS_OFFLOAD_PEER_GONE', 'connection: want it open, got it closed'));
    const timer = setTimeout(() => {
      const message = `connection: want it within ${timeoutMilliseconds} ms, got none`;
      onError(new TlsOffloadError('ERR_TLS_OFFLOAD_HANDSHAKE_TIMEOUT', message));
    }, timeoutMilliseconds);
    socket.on('connect', onConnect).on('error', onError).on('close', onClose);
  });
}
