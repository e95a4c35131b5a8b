import type { DataEncryptionErrorCode } from './errors.js';

/** What an application may watch of column encryption, e.g. to count it. Called synchronously: be quick. */
export interface DataEncryptionObserver {
  /** So many cells of one statement were encrypted, or of one result decrypted. */
  cells?(operation: 'encrypt' | 'decrypt', count: number): void;
  /** A statement or a result failed for its cells. What is refused before it is built is not told. */
  failed?(code: DataEncryptionErrorCode): void;
  /** The HSM was asked to decrypt a data key. */
  dataKeyUnwrapped?(code: DataEncryptionErrorCode | 'OK', milliseconds: number): void;
}

/** The same observer, complete, whose faults are warnings of the process and never those of a statement. */
export function guarded(observer: DataEncryptionObserver): Required<DataEncryptionObserver> {
  const guard = (watch: () => void): void => {
    try {
      watch();
    } catch (error) {
      process.emitWarning(`an observer of data encryption failed: ${String(error)}`);
    }
  };
  return {
    cells: (operation, count) => guard(() => observer.cells?.(operation, count)),
    failed: (code) => guard(() => observer.failed?.(code)),
    dataKeyUnwrapped: (code, milliseconds) => guard(() => observer.dataKeyUnwrapped?.(code, milliseconds)),
  };
}
