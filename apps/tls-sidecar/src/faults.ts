/** Why the process cannot start, its stable code first. An error without a code is our bug and shows its stack. */
export function describeFault(error: unknown): string {
  if (!(error instanceof Error)) return `tls-sidecar: ${String(error)}\n`;
  const code: unknown = 'code' in error ? error.code : undefined;
  return typeof code === 'string'
    ? `tls-sidecar: ${code}: ${error.message}\n`
    : `tls-sidecar: ${error.stack ?? error.message}\n`;
}
