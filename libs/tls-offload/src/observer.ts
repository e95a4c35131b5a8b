import type { TlsOffloadError, TlsOffloadErrorCode } from './errors.js';
import type { SignatureEvent } from './handshake-signer.js';

/** Who counts handshakes. Called synchronously: be quick. */
export interface TerminatorObserver {
  handshakeEnded?(event: HandshakeEvent): void;
  signatureEnded?(event: SignatureEvent): void;
  /** Something that is kept up in the background went wrong: a file of authorities or CRLs, an OCSP response. What is in force stays. */
  upkeepFailed?(error: TlsOffloadError): void;
}

export interface HandshakeEvent {
  readonly code: 'OK' | TlsOffloadErrorCode;
  /** Both absent where it failed. */
  readonly protocol?: string;
  readonly cipher?: string;
  /** From the TCP connection on. */
  readonly milliseconds: number;
}

/** The same observer, whose faults are warnings of the process and never those of a connection. */
export function guarded(observer: TerminatorObserver): Required<TerminatorObserver> {
  const guard = (watch: () => void): void => {
    try {
      watch();
    } catch (error) {
      process.emitWarning(`an observer of TLS connections failed: ${String(error)}`);
    }
  };
  return {
    handshakeEnded: (event) => guard(() => observer.handshakeEnded?.(event)),
    signatureEnded: (event) => guard(() => observer.signatureEnded?.(event)),
    upkeepFailed: (error) => guard(() => observer.upkeepFailed?.(error)),
  };
}
