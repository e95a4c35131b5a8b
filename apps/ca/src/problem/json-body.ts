import type { z } from 'zod';
import { ApiError } from './api-error.js';

/**
 * A JSON body of a shape.
 * @param shape  in words, for whoever got it wrong
 * @throws {ApiError} ERR_API_BODY_INVALID listing all faults together
 */
export function readJson<Schema extends z.ZodType>(schema: Schema, body: unknown, shape: string): z.output<Schema> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new ApiError('ERR_API_BODY_INVALID', `body: want JSON ${shape}, got ${faultsIn(parsed.error)}`);
}

/** All faults in one line, each with where it is. */
export function faultsIn({ issues }: z.ZodError): string {
  return issues.map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`)).join('; ');
}
