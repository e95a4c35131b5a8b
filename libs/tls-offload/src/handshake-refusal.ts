import type { Session } from './addon.js';
import { TlsOffloadError, type TlsOffloadErrorCode } from './errors.js';

/** What is wrong with a server's certificate, by X509_V_* (x509_vfy.h); anything else leaves it untrusted. */
const codesOfServers: Readonly<Record<number, TlsOffloadErrorCode>> = {
  9: 'ERR_TLS_OFFLOAD_SERVER_CERTIFICATE_EXPIRED', // X509_V_ERR_CERT_NOT_YET_VALID
  10: 'ERR_TLS_OFFLOAD_SERVER_CERTIFICATE_EXPIRED', // X509_V_ERR_CERT_HAS_EXPIRED
  23: 'ERR_TLS_OFFLOAD_SERVER_CERTIFICATE_REVOKED', // X509_V_ERR_CERT_REVOKED
  62: 'ERR_TLS_OFFLOAD_SERVER_NAME_MISMATCH', // X509_V_ERR_HOSTNAME_MISMATCH
  64: 'ERR_TLS_OFFLOAD_SERVER_NAME_MISMATCH', // X509_V_ERR_IP_ADDRESS_MISMATCH
};

/** Why OpenSSL has ended a handshake. @param role  ours */
export function refusalOf(session: Session, role: 'server' | 'client' = 'server'): TlsOffloadError {
  const reason = session.failure();
  return role === 'server' ? refusalOfClient(reason) : refusalOfServer(reason, session.verifyResult());
}

/** Whether a server ended the connection over our certificate (RFC 8446 §6.2): in TLS 1.3 it does so after our handshake. */
export function isCertificateRefusal(reason: string): boolean {
  const alert =
    /alert (bad certificate|unsupported certificate|certificate (revoked|expired|unknown|required)|unknown ca|access denied)/;
  return alert.test(reason);
}

function refusalOfClient(reason: string): TlsOffloadError {
  if (/^(certificate verify failed|peer did not return a certificate)/.test(reason)) {
    const message = `handshake: want a client whose certificate is accepted here, got: ${reason}`;
    return new TlsOffloadError('ERR_TLS_OFFLOAD_CLIENT_CERTIFICATE_REFUSED', message);
  }
  return new TlsOffloadError('ERR_TLS_OFFLOAD_HANDSHAKE_FAILED', `handshake: want TLS, got: ${reason}`);
}

function refusalOfServer(reason: string, verifyResult: number): TlsOffloadError {
  if (reason.startsWith('certificate verify failed')) {
    const code = codesOfServers[verifyResult] ?? 'ERR_TLS_OFFLOAD_SERVER_UNTRUSTED';
    return new TlsOffloadError(code, `handshake: want a server that proves its name, got: ${reason}`);
  }
  if (isCertificateRefusal(reason)) {
    const message = `handshake: want a server that accepts our certificate, got: ${reason}`;
    return new TlsOffloadError('ERR_TLS_OFFLOAD_CLIENT_CERTIFICATE_REFUSED', message);
  }
  return new TlsOffloadError('ERR_TLS_OFFLOAD_HANDSHAKE_FAILED', `handshake: want TLS, got: ${reason}`);
}
