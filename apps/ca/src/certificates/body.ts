import { maximumCsrBytes } from '@nest-hsm/ca';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { RawServerDefault, RouteOptions } from 'fastify';
import { z } from 'zod';
import { ApiError } from '../problem/api-error.js';
import { readJson } from '../problem/json-body.js';
import { isNestedDeeper } from './json-nesting.js';

/** Largest request body, whatever its type, but for a batch. */
export const maximumBodyBytes = maximumCsrBytes;
/** Most certificates of one batch, and its largest body. */
export const maximumBatch = 500;
const maximumBatchBytes = 1024 * 1024;
const batchPath = 'v1/certificates/batch';

/** A batch has three levels; no body has more. */
const maximumNesting = 8;

/** application/pkcs10: RFC 5967 §2. The other two carry PEM. */
export const csrMediaTypes = ['application/pkcs10', 'application/x-pem-file', 'text/plain'];

/** Bodies of these types and JSON are read; any other type is refused by Fastify with 415. */
export function acceptBodies(app: NestFastifyApplication): void {
  const fastify = app.getHttpAdapter().getInstance();
  fastify.removeContentTypeParser(['text/plain', 'application/json']);
  const parseJson = fastify.getDefaultJsonParser('error', 'error');
  app.useBodyParser<RawServerDefault>('application/json', { bodyLimit: maximumBodyBytes }, (request, body, done) => {
    if (isNestedDeeper(body, maximumNesting))
      done(new ApiError('ERR_API_BODY_INVALID', `body: want JSON of at most ${maximumNesting} levels, got more`));
    else void parseJson(request, body.toString(), done);
  });
  for (const type of csrMediaTypes)
    app.useBodyParser(type, { bodyLimit: maximumBodyBytes }, (_request, body, done) => done(null, body));
  fastify.addHook('onRoute', (route: RouteOptions) => {
    if (route.url === `/${batchPath}`) route.bodyLimit = maximumBatchBytes;
  });
}

const item = z.strictObject({ csr: z.string(), profile: z.string().optional() });
const batch = z.strictObject({ requests: z.array(item).min(1).max(maximumBatch), profile: z.string().optional() });
const renewal = z.strictObject({ csr: z.string().optional() });

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
  const read = readJson(item, body, '{ csr, profile }, or a CSR');
  return { csr: read.csr, profile: want(read.profile ?? profile) };
}

/** @throws {ApiError} ERR_API_BODY_INVALID */
export function readBatch(body: unknown, profile: unknown): IssueRequest[] {
  const read = readJson(batch, body, `{ requests: [{ csr, profile }], profile }, 1 to ${maximumBatch} requests`);
  return read.requests.map((each) => ({ csr: each.csr, profile: want(each.profile ?? read.profile ?? profile) }));
}

/** @returns the CSR, if there is one. @throws {ApiError} ERR_API_BODY_INVALID */
export function readRenewal(body: unknown): Buffer | string | undefined {
  if (body === undefined || body === null || Buffer.isBuffer(body)) return body ?? undefined;
  return readJson(renewal, body, '{ csr }, a CSR, or nothing').csr;
}

function want(profile: unknown): string {
  if (typeof profile === 'string') return profile;
  const got = profile === undefined ? 'none' : 'several';
  throw new ApiError('ERR_API_BODY_INVALID', `profile: want the name of one, got ${got}`);
}
