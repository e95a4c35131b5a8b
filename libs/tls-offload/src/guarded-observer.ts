import type { TerminatorObserver } from './terminator.js';

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
