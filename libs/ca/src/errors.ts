/**
 * What went wrong, split by who is at fault. A code is never reused; docs/ERRORS.md lists every one and
 * `errors.spec.ts` compares the page with this table.
 */
const faults = {
  // The requester's CSR or question.
  ERR_CA_CSR_TOO_LARGE: 'caller',
  ERR_CA_CSR_MALFORMED: 'caller',
  ERR_CA_CSR_CONTENT_REFUSED: 'caller',
  ERR_CA_CSR_SIGNATURE_INVALID: 'caller',
  ERR_CA_KEY_UNSUPPORTED: 'caller',
  ERR_CA_KEY_WEAK: 'caller',
  ERR_CA_KEY_COMPROMISED: 'caller',
  ERR_CA_NAME_INVALID: 'caller',
  ERR_CA_NAME_MISSING: 'caller',
  ERR_CA_PROFILE_UNKNOWN: 'caller',
  ERR_CA_CERTIFICATE_NOT_FOUND: 'caller',
  ERR_CA_CRL_NOT_FOUND: 'caller',
  ERR_CA_REVOCATION_INVALID: 'caller',
  ERR_CA_REVOCATION_CONFLICT: 'caller',
  ERR_CA_TICKET_REFUSED: 'caller',
  ERR_CA_IDEMPOTENCY_KEY_REUSED: 'caller',
  ERR_CA_IDEMPOTENCY_IN_PROGRESS: 'caller',
  ERR_CA_QUERY_INVALID: 'caller',
  ERR_CA_RENEWAL_REFUSED: 'caller',
  ERR_CA_ORDER_NOT_FOUND: 'caller',
  ERR_CA_ORDER_DECIDED: 'caller',
  ERR_CA_OVERLOADED: 'caller',
  ERR_CA_REQUESTER_INVALID: 'caller',
  ERR_CA_TOKEN_INVALID: 'caller',
  ERR_CA_TOKEN_NOT_FOUND: 'caller',
  ERR_CA_CLOSED: 'caller',
  // Policy.
  ERR_CA_REVOCATION_FORBIDDEN: 'policy',
  ERR_CA_NAME_NOT_ALLOWED: 'policy',
  ERR_CA_CONSTRAINT_VIOLATED: 'policy',
  ERR_CA_APPROVAL_REQUIRED: 'policy',
  // Set-up, mended by the operator.
  ERR_CA_CONFIG_INVALID: 'operator',
  ERR_CA_NOT_INITIALIZED: 'operator',
  ERR_CA_ISSUER_UNUSABLE: 'operator',
  ERR_CA_ISSUER_UNNAMED: 'operator',
  ERR_CA_STORE_UNUSABLE: 'operator',
  ERR_CA_RECOVERY_REFUSED: 'operator',
  ERR_CA_CRL_INVALID: 'operator',
  ERR_CA_IMPORT_REFUSED: 'operator',
  ERR_CA_ROLLOVER_REFUSED: 'operator',
  ERR_CA_CEREMONY_REFUSED: 'operator',
  ERR_CA_TRANSCRIPT_INVALID: 'operator',
  // What the CA stands on: its token and its database.
  ERR_CA_WEBHOOK_FAILED: 'operator',
  ERR_CA_STORE_UNAVAILABLE: 'store',
  ERR_CA_SIGNATURE_INVALID: 'token',
  // Ours.
  ERR_CA_LINT_FAILED: 'bug',
  ERR_CA_STATE_CONFLICT: 'bug',
  ERR_CA_VERIFICATION_UNAVAILABLE: 'bug',
} as const satisfies Record<string, CaErrorFault>;

export type CaErrorFault = 'caller' | 'policy' | 'operator' | 'store' | 'token' | 'bug';
export type CaErrorCode = keyof typeof faults;
export const caErrorCodes = Object.keys(faults) as readonly CaErrorCode[];

/** The CA refused or could not finish. `code` is stable; `message` reads "want X, got Y" and never holds a secret. */
export class CaError extends Error {
  override readonly name = 'CaError';
  readonly fault: CaErrorFault;

  constructor(
    readonly code: CaErrorCode,
    message: string,
    details: { readonly cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.fault = faults[code];
  }
}

export function isCaError(error: unknown, code: CaErrorCode): error is CaError {
  return error instanceof CaError && error.code === code;
}
