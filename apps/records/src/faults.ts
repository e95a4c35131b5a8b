/** Why the process cannot start, its stable code first. An error without a code is our bug and shows its stack. */
export function describeFault(error: unknown): string {
  if (!(error instanceof Error)) return `records: ${String(error)}\n`;
  const code: unknown = 'code' in error ? error.code : undefined;
  return typeof code === 'string'
    ? `records: ${code}: ${error.message}\n`
    : `records: ${error.stack ?? error.message}\n`;
}
