/** What keeps the sidecar from starting and is no fault of its token or certificate. Codes are never reused. */
export type SidecarErrorCode = 'ERR_SIDECAR_CONFIG' | 'ERR_SIDECAR_LISTEN';

export class SidecarError extends Error {
  override readonly name = 'SidecarError';

  constructor(
    readonly code: SidecarErrorCode,
    message: string,
    details: { readonly cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
  }
}
