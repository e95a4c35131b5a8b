/**
 * What went wrong, split by who is at fault. A code is never reused; docs/ERRORS.md lists every one and
 * `errors.spec.ts` compares the page, the table and the union.
 */
const faults = {
  // The developer's input: configuration, entities, statements, values.
  ERR_DATA_CONFIG_INVALID: 'caller',
  ERR_DATA_MAPPING_INVALID: 'caller',
  ERR_DATA_NOT_INSTALLED: 'caller',
  ERR_DATA_OPERATION_REFUSED: 'caller',
  ERR_DATA_VALUE_INVALID: 'caller',
  ERR_DATA_CLOSED: 'caller',
  ERR_DATA_TENANT_MISSING: 'caller',
  ERR_DATA_TENANT_UNKNOWN: 'caller',
  ERR_DATA_SHREDDED: 'caller',
  ERR_DATA_RECEIPT_INVALID: 'integrity',
  // Set-up, mended by the operator.
  ERR_DATA_TYPEORM_INCOMPATIBLE: 'operator',
  ERR_DATA_KEY_REJECTED: 'operator',
  ERR_DATA_BACKFILL_INCOMPLETE: 'operator',
  ERR_DATA_PLAINTEXT_LEFT: 'operator',
  // What is stored is not what was written.
  ERR_DATA_DECRYPTION_FAILED: 'integrity',
  ERR_DATA_TENANT_MISMATCH: 'integrity',
  // The HSM or the table of data keys cannot be reached.
  ERR_DATA_KEY_UNAVAILABLE: 'token',
} as const satisfies Record<string, DataEncryptionFault>;

export type DataEncryptionFault = 'caller' | 'operator' | 'integrity' | 'token';
export type DataEncryptionErrorCode = keyof typeof faults;
export const dataEncryptionErrorCodes = Object.keys(faults) as readonly DataEncryptionErrorCode[];

export interface DataEncryptionErrorDetails {
  /** The column concerned, as `Entity.property`. */
  readonly column?: string;
  readonly cause?: unknown;
}

/**
 * Column encryption failed or was refused. `code` is stable; `message` reads "want X, got Y", names entity and property,
 * and never holds plaintext, key bytes, a primary key or the text of a statement.
 */
export class DataEncryptionError extends Error {
  override readonly name = 'DataEncryptionError';
  readonly fault: DataEncryptionFault;
  readonly column?: string;
  /** True when the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;

  constructor(
    readonly code: DataEncryptionErrorCode,
    message: string,
    details: DataEncryptionErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.fault = faults[code];
    this.column = details.column;
    this.retryable = this.fault === 'token';
  }
}

/**
 * One code, one text for every reason a cell does not decrypt (no envelope, unknown key, wrong row, altered bytes): a
 * reader learns nothing from the difference.
 */
export function decryptionFailed(column: string): DataEncryptionError {
  return new DataEncryptionError(
    'ERR_DATA_DECRYPTION_FAILED',
    `${column}: want a cell written for this row, got another`,
    {
      column,
    },
  );
}

export function keyUnavailable(want: string, cause?: unknown): DataEncryptionError {
  const got = cause instanceof Error ? `, got ${cause.message}` : '';
  return new DataEncryptionError('ERR_DATA_KEY_UNAVAILABLE', want + got, { cause });
}

/** Whether waiting may help: the HSM or the database was not reached, nobody refused. */
export function isOutage(error: unknown): boolean {
  return error instanceof DataEncryptionError && error.code === 'ERR_DATA_KEY_UNAVAILABLE';
}
