/**
 * What went wrong, split by who is at fault. A code is never reused; docs/ERRORS.md lists every one and
 * `errors.spec.ts` compares the page, the table and the union.
 */
const faults = {
  // The caller's input or configuration.
  ERR_HSM_CONFIG_INVALID: 'caller',
  ERR_HSM_ARGUMENT_INVALID: 'caller',
  ERR_HSM_KEY_NOT_FOUND: 'caller',
  ERR_HSM_KEY_AMBIGUOUS: 'caller',
  ERR_HSM_KEY_UNSAFE: 'caller',
  ERR_HSM_MECHANISM_UNSUPPORTED: 'caller',
  ERR_HSM_DECRYPTION_FAILED: 'caller',
  ERR_HSM_RECEIPT_INVALID: 'caller',
  ERR_HSM_ABORTED: 'caller',
  ERR_HSM_CLOSED: 'caller',
  // Set-up of the token, mended by its operator.
  ERR_HSM_MODULE_UNUSABLE: 'operator',
  ERR_HSM_TOKEN_NOT_FOUND: 'operator',
  ERR_HSM_TOKEN_AMBIGUOUS: 'operator',
  ERR_HSM_TOKEN_UNINITIALIZED: 'operator',
  ERR_HSM_PIN_SOURCE: 'operator',
  ERR_HSM_PIN_INCORRECT: 'operator',
  ERR_HSM_PIN_LOCKED: 'operator',
  ERR_HSM_PIN_REFUSED_EARLIER: 'operator',
  ERR_HSM_PIN_FINAL_TRY: 'operator',
  ERR_HSM_TOKEN_HOLDS_KEYS: 'operator',
  ERR_HSM_PLAN_OUTDATED: 'operator',
  ERR_HSM_MEMBER_NOT_ENROLLED: 'operator',
  ERR_HSM_KEYRING_UNUSABLE: 'operator',
  ERR_HSM_RECOVERY_REFUSED: 'operator',
  ERR_HSM_BACKUP_INVALID: 'operator',
  ERR_HSM_BACKUP_REFUSED: 'operator',
  // Policy.
  ERR_HSM_POLICY_DENIED: 'policy',
  // The token or the way to it.
  ERR_HSM_UNAVAILABLE: 'token',
  ERR_HSM_TIMEOUT: 'token',
  ERR_HSM_OVERLOADED: 'token',
  ERR_HSM_THROTTLED: 'token',
  ERR_HSM_TOKEN_FULL: 'token',
  ERR_HSM_OUTCOME_UNKNOWN: 'token',
  ERR_HSM_KEY_NOT_REPLICATED: 'token',
  ERR_HSM_SIGNATURE_INVALID: 'token',
  ERR_HSM_TOKEN_ERROR: 'token',
  ERR_HSM_AUDIT_UNAVAILABLE: 'token',
  // Ours.
  ERR_HSM_PROTOCOL: 'bug',
} as const satisfies Record<string, HsmErrorFault>;

export type HsmErrorFault = 'caller' | 'operator' | 'policy' | 'token' | 'bug';
export type HsmErrorCode = keyof typeof faults;
export const hsmErrorCodes = Object.keys(faults) as readonly HsmErrorCode[];

export interface HsmErrorDetails {
  /** The PKCS#11 return value, e.g. `CKR_DEVICE_ERROR`, or `CKR_0x80000001` when the number has no name. */
  readonly returnValue?: string;
  /** The C function that failed, e.g. `C_Sign`. */
  readonly pkcs11Function?: string;
  /** The fleet member the call was sent to. */
  readonly member?: string;
  /** True when the same call may succeed if made again, here or on another member. */
  readonly retryable?: boolean;
  readonly cause?: unknown;
}

/**
 * An operation on the HSM failed. `code` is stable; `message` reads "want X, got Y" and never holds key bytes,
 * plaintext or a PIN.
 */
export class HsmError extends Error {
  override readonly name = 'HsmError';
  readonly fault: HsmErrorFault;
  readonly returnValue?: string;
  readonly pkcs11Function?: string;
  readonly member?: string;
  readonly retryable: boolean;

  constructor(
    readonly code: HsmErrorCode,
    message: string,
    details: HsmErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.fault = faults[code];
    this.returnValue = details.returnValue;
    this.pkcs11Function = details.pkcs11Function;
    this.member = details.member;
    this.retryable = details.retryable ?? false;
  }
}
