/**
 * What went wrong, split by who is at fault. A code is never reused; docs/ERRORS.md lists every one and
 * `errors.spec.ts` compares the page, the table and the union.
 */
const faults = {
  // The caller's input: configuration, an anchor, a filter.
  ERR_AUDIT_CONFIG_INVALID: 'caller',
  ERR_AUDIT_ARGUMENT_INVALID: 'caller',
  ERR_AUDIT_ANCHOR_INVALID: 'caller',
  // Files and keys, mended by the operator.
  ERR_AUDIT_TRAIL_UNREADABLE: 'operator',
  ERR_AUDIT_FILE_UNUSABLE: 'operator',
  ERR_AUDIT_KEY_UNSUITABLE: 'operator',
  ERR_AUDIT_CHECKPOINTS_MISSING: 'operator',
  // What is there is not what was written.
  ERR_AUDIT_TRAIL_ALTERED: 'integrity',
  ERR_AUDIT_CHECKPOINTS_ALTERED: 'integrity',
  // The collector at the other end of the connection.
  ERR_AUDIT_COLLECTOR_UNAVAILABLE: 'peer',
} as const satisfies Record<string, AuditErrorFault>;

export type AuditErrorFault = 'caller' | 'operator' | 'integrity' | 'peer';
export type AuditErrorCode = keyof typeof faults;
export const auditErrorCodes = Object.keys(faults) as readonly AuditErrorCode[];

/** Reading, checkpointing or forwarding the trail failed. `code` is stable; `message` reads "want X, got Y". */
export class AuditError extends Error {
  override readonly name = 'AuditError';
  readonly fault: AuditErrorFault;
  /** True when the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;

  constructor(
    readonly code: AuditErrorCode,
    message: string,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.fault = faults[code];
    // A directory is not mounted yet, a segment on its way elsewhere.
    this.retryable = this.fault === 'peer' || code === 'ERR_AUDIT_TRAIL_UNREADABLE';
  }
}

/** What the file system said of a path, in one of our errors. */
export function fileFault(code: AuditErrorCode, path: string, want: string, cause: unknown): AuditError {
  if (cause instanceof AuditError) return cause;
  const got = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  return new AuditError(code, `${path}: want ${want}, got ${got}`, cause);
}
