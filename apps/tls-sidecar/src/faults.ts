/**
 * `ERR_SIDECAR_CONFIG`: the configuration file. `ERR_SIDECAR_LISTEN`: an address that cannot be listened on.
 * `ERR_SIDECAR_ENDING`: a reload that comes too late. `ERR_SIDECAR_WORKER`: a worker that does not answer.
 */
export const sidecarErrorCodes = [
  'ERR_SIDECAR_CONFIG',
  'ERR_SIDECAR_LISTEN',
  'ERR_SIDECAR_ENDING',
  'ERR_SIDECAR_WORKER',
] as const;
export type SidecarErrorCode = (typeof sidecarErrorCodes)[number];

export class SidecarError extends Error {
  override readonly name = 'SidecarError';

  constructor(
    readonly code: SidecarErrorCode,
    message: string,
    options?: { readonly cause?: unknown },
  ) {
    super(message, options);
  }
}

/** Why the process cannot run. */
export function describeFault(error: unknown): string {
  return `tls-sidecar: ${sentenceOf(error)}\n`;
}

/** What went wrong, in one paragraph, its stable code first. An error without a code is our bug and shows its stack. */
export function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code: unknown = 'code' in error ? error.code : undefined;
  const known = typeof code === 'string' && code.startsWith('ERR_');
  return known ? `${code}: ${error.message}` : (error.stack ?? error.message);
}
