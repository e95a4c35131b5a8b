import type { ValueTransformer } from 'typeorm';
import { DataEncryptionError } from '../errors.js';

/**
 * Stands in for encryption where it is not installed: nothing is written in plaintext, nothing read as if it were plaintext.
 * Installing removes it.
 */
export const refuseUntilInstalled: ValueTransformer = { to: refuseValue, from: refuseValue };

function refuseValue(value: unknown): unknown {
  if (value === null || value === undefined) return value;
  throw new DataEncryptionError(
    'ERR_DATA_NOT_INSTALLED',
    'encrypted column: want its data source passed to withDataEncryption before initialize(), got one that was not',
  );
}
