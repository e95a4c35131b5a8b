import { maximumCsrBytes } from '@nest-hsm/ca';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { z } from 'zod';
import { ApiError } from '../problem/api-error.js';

/** Largest request body, whatever its type. */
export const maximumBodyBytes = maximumCsrBytes;

/** application/pkcs10: RFC 5967 §2. The other two carry PEM. */
export const csrMediaTypes = ['application/pkcs10', 'application/x-pem-file', 'text/plain'];

/** Bodies of these types and JSON are read; any other type is refused by Fastify with 415. */
export function acceptBodies(app: NestFastifyApplication): void {
  app.getHttpAdapter().getInstance().removeContentTypeParser('text/plain');
  for (const type of csrMediaTypes)
    app.useBodyParser(type, { bodyLimit: maximumBodyBytes }, (_request, body, done) => done(null, body));
}

const jsonBody = z.strictObject({ csr: z.string(), profile: z.string().optional() });

export interface IssueRequest {
  readonly csr: Buffer | string;
  /** As it was asked for; the certificate authority refuses an unknown one. */
  readonly profile: string;
}

/**
 * The CSR and the profile of a request: the body is the CSR, or JSON that holds it. The profile in JSON goes before the query's.
 * @throws {ApiError} ERR_API_BODY_INVALID
 */
export function readIssueRequest(body: unknown, profile: unknown): IssueRequest {
  if (Buffer.isBuffer(body)) return { csr: body, profile: want(profile) };
  const parsed = jsonBody.safeParse(body);
  if (!parsed.success)
    throw new ApiError(
      'ERR_API_BODY_INVALID',
      `body: want a CSR, or JSON { csr, profile }, got ${z.prettifyError(parsed.error)}`,
    );
  return { csr: parsed.data.csr, profile: want(parsed.data.profile ?? profile) };
}

function want(profile: unknown): string {
  if (typeof profile === 'string') return profile;
  const got = profile === undefined ? 'none' : 'several';
  throw new ApiError('ERR_API_BODY_INVALID', `profile: want the name of one, got ${got}`);
}
