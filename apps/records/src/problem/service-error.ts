/** What the service itself refuses. Codes are never reused. */
export type ServiceErrorCode =
  | 'ERR_RECORDS_CONFIG'
  | 'ERR_RECORDS_LISTEN'
  | 'ERR_RECORDS_DATABASE'
  | 'ERR_RECORDS_BODY_INVALID'
  | 'ERR_RECORDS_NOT_FOUND'
  | 'ERR_RECORDS_INTERNAL';

export class ServiceError extends Error {
  override readonly name = 'ServiceError';

  constructor(
    readonly code: ServiceErrorCode,
    message: string,
    details: { readonly cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
  }
}
