/**
 * What went wrong, split by who is at fault. A code is never reused; docs/ERRORS.md lists every one and
 * `errors.spec.ts` compares the page, the table and the union.
 */
const faults = {
  // The caller's configuration.
  ERR_TLS_OFFLOAD_CONFIG_INVALID: 'caller',
  ERR_TLS_OFFLOAD_CLOSED: 'caller',
  // Set-up of the machine, the certificate or its issuer, mended by the operator.
  ERR_TLS_OFFLOAD_ADDON_UNUSABLE: 'operator',
  ERR_TLS_OFFLOAD_CERTIFICATE_INVALID: 'operator',
  ERR_TLS_OFFLOAD_KEY_MISMATCH: 'operator',
  ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED: 'operator',
  ERR_TLS_OFFLOAD_ISSUANCE_REFUSED: 'operator',
  ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE: 'operator',
  ERR_TLS_OFFLOAD_DESCRIPTORS_EXHAUSTED: 'operator',
  ERR_TLS_OFFLOAD_CLIENT_AUTHORITIES: 'operator',
  ERR_TLS_OFFLOAD_SERVER_AUTHORITIES: 'operator',
  ERR_TLS_OFFLOAD_STAPLE: 'operator',
  ERR_TLS_OFFLOAD_TICKET_KEYS: 'operator',
  // The peer: the client of a terminator, the server of a connector.
  ERR_TLS_OFFLOAD_CLIENT_CERTIFICATE_REFUSED: 'peer',
  ERR_TLS_OFFLOAD_SERVER_NAME_MISMATCH: 'peer',
  ERR_TLS_OFFLOAD_SERVER_CERTIFICATE_EXPIRED: 'peer',
  ERR_TLS_OFFLOAD_SERVER_CERTIFICATE_REVOKED: 'peer',
  ERR_TLS_OFFLOAD_SERVER_UNTRUSTED: 'peer',
  ERR_TLS_OFFLOAD_SOURCE_LIMITED: 'peer',
  ERR_TLS_OFFLOAD_HANDSHAKE_FAILED: 'peer',
  ERR_TLS_OFFLOAD_HANDSHAKE_TIMEOUT: 'peer',
  ERR_TLS_OFFLOAD_PEER_GONE: 'peer',
  ERR_TLS_OFFLOAD_RECORD_INVALID: 'peer',
  ERR_TLS_OFFLOAD_PEER_NOT_READING: 'peer',
  ERR_TLS_OFFLOAD_PROXY_HEADER_INVALID: 'peer',
  ERR_TLS_OFFLOAD_CONNECTION_IDLE: 'peer',
  ERR_TLS_OFFLOAD_CONNECTION_EXPIRED: 'peer',
  ERR_TLS_OFFLOAD_REQUEST_INVALID: 'peer',
  ERR_TLS_OFFLOAD_REQUEST_MISDIRECTED: 'peer',
  ERR_TLS_OFFLOAD_REQUEST_TOO_LARGE: 'peer',
  ERR_TLS_OFFLOAD_REQUEST_TIMEOUT: 'peer',
  // The token or the way to it.
  ERR_TLS_OFFLOAD_SIGNATURE_FAILED: 'token',
  ERR_TLS_OFFLOAD_SIGNATURE_TIMEOUT: 'token',
  ERR_TLS_OFFLOAD_SIGNATURES_SATURATED: 'token',
  // The server behind a proxy.
  ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE: 'upstream',
  ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT: 'upstream',
  ERR_TLS_OFFLOAD_UPSTREAM_UNTRUSTED: 'upstream',
  ERR_TLS_OFFLOAD_UPSTREAM_CERTIFICATE_REFUSED: 'upstream',
  ERR_TLS_OFFLOAD_UPSTREAM_RESPONSE_INVALID: 'upstream',
  ERR_TLS_OFFLOAD_UPSTREAMS_EXHAUSTED: 'upstream',
} as const satisfies Record<string, TlsOffloadErrorFault>;

export type TlsOffloadErrorFault = 'caller' | 'operator' | 'peer' | 'token' | 'upstream';
export type TlsOffloadErrorCode = keyof typeof faults;
export const tlsOffloadErrorCodes = Object.keys(faults) as readonly TlsOffloadErrorCode[];

/** A connection of TLS failed, or what it takes. `code` is stable; `message` reads "want X, got Y" and never holds key bytes or plaintext. */
export class TlsOffloadError extends Error {
  override readonly name = 'TlsOffloadError';
  readonly fault: TlsOffloadErrorFault;

  constructor(
    readonly code: TlsOffloadErrorCode,
    message: string,
    options?: { readonly cause?: unknown },
  ) {
    super(message, options);
    this.fault = faults[code];
  }
}
