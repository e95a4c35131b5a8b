/**
 * Why the process cannot start, in one paragraph, its stable code first. An error without a code is our bug and shows its
 * stack.
 */
export function describeFault(error: unknown): string {
  if (!(error instanceof Error)) return `ca: ${String(error)}\n`;
  const code: unknown = 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? `ca: ${code}: ${error.message}\n` : `ca: ${error.stack ?? error.message}\n`;
}
