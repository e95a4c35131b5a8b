/** What the service itself refuses, and who is at fault. Codes are never reused; docs/ERRORS.md lists every one. */
export const serviceErrorFaults = {
  ERR_RECORDS_CONFIG: 'operator',
  ERR_RECORDS_LISTEN: 'operator',
  ERR_RECORDS_DATABASE: 'operator',
  ERR_RECORDS_BODY_INVALID: 'caller',
  ERR_RECORDS_NOT_FOUND: 'caller',
  ERR_RECORDS_INTERNAL: 'bug',
} as const;

export type ServiceErrorCode = keyof typeof serviceErrorFaults;

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
