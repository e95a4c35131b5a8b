/** What the service itself refuses, before or around the certificate authority. Codes are never reused. */
export const apiErrorCodes = [
  'ERR_API_CONFIG',
  'ERR_API_LISTEN',
  'ERR_API_REQUEST_INVALID',
  'ERR_API_REQUEST_TIMEOUT',
  'ERR_API_HEADERS_TOO_LARGE',
  'ERR_API_BODY_INVALID',
  'ERR_API_UNAUTHENTICATED',
  'ERR_API_FORBIDDEN',
  'ERR_API_IDENTITY_PROVIDER',
  'ERR_API_NOT_FOUND',
  'ERR_API_NOT_ACCEPTABLE',
  'ERR_API_BODY_TOO_LARGE',
  'ERR_API_MEDIA_TYPE',
  'ERR_API_RATE_LIMITED',
  'ERR_API_INTERNAL',
] as const;
export type ApiErrorCode = (typeof apiErrorCodes)[number];

export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** When it is worth while to try again. */
  readonly retryAfterSeconds?: number;

  constructor(
    readonly code: ApiErrorCode,
    message: string,
    details: { readonly cause?: unknown; readonly retryAfterSeconds?: number } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.retryAfterSeconds = details.retryAfterSeconds;
  }
}
