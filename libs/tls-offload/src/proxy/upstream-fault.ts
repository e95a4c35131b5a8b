import { TlsOffloadError, type TlsOffloadErrorCode } from '../errors.js';

/** What a fault of a connector is called when its server is an upstream. */
const codeByConnectorCode: Partial<Record<TlsOffloadErrorCode, TlsOffloadErrorCode>> = {
  ERR_TLS_OFFLOAD_SERVER_NAME_MISMATCH: 'ERR_TLS_OFFLOAD_UPSTREAM_UNTRUSTED',
  ERR_TLS_OFFLOAD_SERVER_CERTIFICATE_EXPIRED: 'ERR_TLS_OFFLOAD_UPSTREAM_UNTRUSTED',
  ERR_TLS_OFFLOAD_SERVER_CERTIFICATE_REVOKED: 'ERR_TLS_OFFLOAD_UPSTREAM_UNTRUSTED',
  ERR_TLS_OFFLOAD_SERVER_UNTRUSTED: 'ERR_TLS_OFFLOAD_UPSTREAM_UNTRUSTED',
  // No TLS, or none that is acceptable.
  ERR_TLS_OFFLOAD_HANDSHAKE_FAILED: 'ERR_TLS_OFFLOAD_UPSTREAM_UNTRUSTED',
  ERR_TLS_OFFLOAD_CLIENT_CERTIFICATE_REFUSED: 'ERR_TLS_OFFLOAD_UPSTREAM_CERTIFICATE_REFUSED',
  ERR_TLS_OFFLOAD_HANDSHAKE_TIMEOUT: 'ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT',
  ERR_TLS_OFFLOAD_RECORD_INVALID: 'ERR_TLS_OFFLOAD_UPSTREAM_RESPONSE_INVALID',
  ERR_TLS_OFFLOAD_PEER_NOT_READING: 'ERR_TLS_OFFLOAD_UPSTREAM_RESPONSE_INVALID',
  ERR_TLS_OFFLOAD_PEER_GONE: 'ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE',
  // A write that waited when the connection broke.
  ERR_TLS_OFFLOAD_CLOSED: 'ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE',
};

/**
 * What a connection to an upstream, or an exchange on it, failed by. A fault that is not the upstream's keeps its code: a client's,
 * one of the configuration, or one of the token that did not sign for us.
 */
export function upstreamFault(cause: Error): TlsOffloadError {
  if (cause instanceof TlsOffloadError) {
    const code = codeByConnectorCode[cause.code];
    return code === undefined ? cause : new TlsOffloadError(code, `upstream: ${cause.message}`, { cause });
  }
  const { code = '' } = cause as NodeJS.ErrnoException;
  // Of Node.js' parser, and of http.
  const isUnreadable = code.startsWith('HPE_') || code.startsWith('ERR_');
  return isUnreadable
    ? new TlsOffloadError('ERR_TLS_OFFLOAD_UPSTREAM_RESPONSE_INVALID', `upstream: want HTTP/1.1, got ${code}`, {
        cause,
      })
    : new TlsOffloadError('ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE', `upstream: want an answer, got ${cause.message}`, {
        cause,
      });
}
