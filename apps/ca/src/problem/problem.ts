import { STATUS_CODES } from 'node:http';
import { HttpException } from '@nestjs/common';
import { CaError, type CaErrorCode } from '@nest-hsm/ca';
import { HsmError, type HsmErrorCode } from '@nest-hsm/hsm';
import { ApiError, type ApiErrorCode } from './api-error.js';

export type ProblemCode = ApiErrorCode | CaErrorCode | HsmErrorCode;

/** The one place that knows HTTP status codes. */
export const problemStatus = {
  ERR_API_CONFIG: 500,
  ERR_API_LISTEN: 500,
  ERR_API_REQUEST_INVALID: 400,
  ERR_API_REQUEST_TIMEOUT: 408,
  ERR_API_HEADERS_TOO_LARGE: 431,
  ERR_API_BODY_INVALID: 400,
  ERR_API_UNAUTHENTICATED: 401,
  ERR_API_FORBIDDEN: 403,
  ERR_API_IDENTITY_PROVIDER: 503,
  ERR_API_NOT_FOUND: 404,
  ERR_API_NOT_ACCEPTABLE: 406,
  ERR_API_BODY_TOO_LARGE: 413,
  ERR_API_MEDIA_TYPE: 415,
  ERR_API_RATE_LIMITED: 429,
  ERR_API_INTERNAL: 500,
  ERR_CA_CSR_TOO_LARGE: 413,
  ERR_CA_CSR_MALFORMED: 400,
  ERR_CA_CSR_CONTENT_REFUSED: 422,
  ERR_CA_CSR_SIGNATURE_INVALID: 400,
  ERR_CA_KEY_UNSUPPORTED: 422,
  ERR_CA_KEY_WEAK: 422,
  ERR_CA_KEY_COMPROMISED: 422,
  ERR_CA_NAME_INVALID: 422,
  ERR_CA_NAME_MISSING: 422,
  ERR_CA_NAME_NOT_ALLOWED: 403,
  ERR_CA_CONSTRAINT_VIOLATED: 403,
  ERR_CA_APPROVAL_REQUIRED: 403,
  ERR_CA_PROFILE_UNKNOWN: 400,
  ERR_CA_CERTIFICATE_NOT_FOUND: 404,
  ERR_CA_CRL_NOT_FOUND: 404,
  ERR_CA_REVOCATION_INVALID: 422,
  ERR_CA_REVOCATION_CONFLICT: 409,
  ERR_CA_REVOCATION_FORBIDDEN: 403,
  ERR_CA_TICKET_REFUSED: 503,
  ERR_CA_IDEMPOTENCY_KEY_REUSED: 422,
  ERR_CA_IDEMPOTENCY_IN_PROGRESS: 409,
  ERR_CA_QUERY_INVALID: 400,
  ERR_CA_RENEWAL_REFUSED: 403,
  ERR_CA_ORDER_NOT_FOUND: 404,
  ERR_CA_ORDER_DECIDED: 409,
  ERR_CA_OVERLOADED: 503,
  ERR_CA_REQUESTER_INVALID: 400,
  ERR_CA_TOKEN_INVALID: 400,
  ERR_CA_TOKEN_NOT_FOUND: 404,
  ERR_CA_CLOSED: 503,
  ERR_CA_CONFIG_INVALID: 500,
  ERR_CA_NOT_INITIALIZED: 503,
  ERR_CA_ISSUER_UNUSABLE: 503,
  ERR_CA_ISSUER_UNNAMED: 500,
  ERR_CA_STORE_UNUSABLE: 503,
  ERR_CA_RECOVERY_REFUSED: 500,
  ERR_CA_CRL_INVALID: 500,
  ERR_CA_IMPORT_REFUSED: 500,
  ERR_CA_ROLLOVER_REFUSED: 500,
  ERR_CA_CEREMONY_REFUSED: 500,
  ERR_CA_TRANSCRIPT_INVALID: 500,
  ERR_CA_WEBHOOK_FAILED: 500,
  ERR_CA_STORE_UNAVAILABLE: 503,
  ERR_CA_SIGNATURE_INVALID: 503,
  ERR_CA_LINT_FAILED: 500,
  ERR_CA_STATE_CONFLICT: 500,
  ERR_CA_VERIFICATION_UNAVAILABLE: 503,
  ERR_HSM_CONFIG_INVALID: 500,
  ERR_HSM_ARGUMENT_INVALID: 500,
  ERR_HSM_KEY_NOT_FOUND: 503,
  ERR_HSM_KEY_AMBIGUOUS: 503,
  ERR_HSM_KEY_UNSAFE: 503,
  ERR_HSM_MECHANISM_UNSUPPORTED: 503,
  ERR_HSM_DECRYPTION_FAILED: 500,
  ERR_HSM_RECEIPT_INVALID: 500,
  ERR_HSM_ABORTED: 503,
  ERR_HSM_CLOSED: 503,
  ERR_HSM_MODULE_UNUSABLE: 503,
  ERR_HSM_TOKEN_NOT_FOUND: 503,
  ERR_HSM_TOKEN_AMBIGUOUS: 503,
  ERR_HSM_TOKEN_UNINITIALIZED: 503,
  ERR_HSM_PIN_SOURCE: 503,
  ERR_HSM_PIN_INCORRECT: 503,
  ERR_HSM_PIN_LOCKED: 503,
  ERR_HSM_PIN_REFUSED_EARLIER: 503,
  ERR_HSM_PIN_FINAL_TRY: 503,
  ERR_HSM_TOKEN_HOLDS_KEYS: 503,
  ERR_HSM_PLAN_OUTDATED: 503,
  ERR_HSM_POLICY_DENIED: 503,
  ERR_HSM_UNAVAILABLE: 503,
  ERR_HSM_TIMEOUT: 503,
  ERR_HSM_OVERLOADED: 503,
  ERR_HSM_THROTTLED: 503,
  ERR_HSM_TOKEN_FULL: 503,
  ERR_HSM_KEY_NOT_REPLICATED: 503,
  ERR_HSM_MEMBER_NOT_ENROLLED: 503,
  ERR_HSM_KEYRING_UNUSABLE: 503,
  ERR_HSM_RECOVERY_REFUSED: 503,
  ERR_HSM_BACKUP_INVALID: 503,
  ERR_HSM_BACKUP_REFUSED: 503,
  ERR_HSM_OUTCOME_UNKNOWN: 503,
  ERR_HSM_SIGNATURE_INVALID: 503,
  ERR_HSM_TOKEN_ERROR: 503,
  ERR_HSM_AUDIT_UNAVAILABLE: 503,
  ERR_HSM_PROTOCOL: 500,
} as const satisfies Record<ProblemCode, number>;

/** A problem document (RFC 9457 §3), with our stable code as an extension member. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ProblemCode;
  readonly detail: string;
  /** The request, as the log names it. */
  readonly instance: string;
}

/** What a caller may know of an error: everything of a refusal, nothing but the code of a fault of ours. */
export function problemOf(error: unknown, requestId: string): Problem {
  const { code, message } = classify(error);
  const status = problemStatus[code];
  return {
    type: `urn:nest-hsm:problem:${code}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    code,
    detail:
      status < 500
        ? message
        : status === 503
          ? 'The service cannot sign now; try again later.'
          : 'The service failed; its log says why.',
    instance: `urn:uuid:${requestId}`,
  };
}

function classify(error: unknown): { code: ProblemCode; message: string } {
  if (error instanceof ApiError || error instanceof CaError || error instanceof HsmError) return error;
  const status = statusOf(error);
  const message = frameworkMessages[status] ?? (error instanceof Error ? error.message : 'unknown');
  return { code: codeOfStatus(status), message };
}

/** Where those of Fastify say no more than the title does. */
const frameworkMessages: Readonly<Record<number, string>> = {
  413: 'body: want at most 64 KiB, of a batch 1 MiB, got more',
  415: 'Content-Type: want one that the route reads (/docs names them), got another',
};

/** Nest throws HttpExceptions; Fastify's own errors carry `statusCode`. */
function statusOf(error: unknown): number {
  if (error instanceof HttpException) return error.getStatus();
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  return typeof status === 'number' ? status : 500;
}

function codeOfStatus(status: number): ApiErrorCode {
  switch (status) {
    case 400:
      return 'ERR_API_BODY_INVALID';
    case 401:
      return 'ERR_API_UNAUTHENTICATED';
    case 403:
      return 'ERR_API_FORBIDDEN';
    case 404:
      return 'ERR_API_NOT_FOUND';
    case 413:
      return 'ERR_API_BODY_TOO_LARGE';
    case 415:
      return 'ERR_API_MEDIA_TYPE';
    case 429:
      return 'ERR_API_RATE_LIMITED';
    default:
      return status >= 400 && status < 500 ? 'ERR_API_REQUEST_INVALID' : 'ERR_API_INTERNAL';
  }
}
