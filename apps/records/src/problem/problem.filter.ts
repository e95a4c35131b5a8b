import { STATUS_CODES } from 'node:http';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Logger } from '@nestjs/common';
import { DataEncryptionError, type DataEncryptionFault } from '@nest-hsm/data-encryption';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { QueryFailedError } from 'typeorm';
import { ServiceError, type ServiceErrorCode } from './service-error.js';

/** Seconds after which a caller may try again. */
const retryAfterSeconds = 5;

const serviceStatus = {
  ERR_RECORDS_CONFIG: 500,
  ERR_RECORDS_LISTEN: 500,
  ERR_RECORDS_DATABASE: 503,
  ERR_RECORDS_BODY_INVALID: 400,
  ERR_RECORDS_NOT_FOUND: 404,
  ERR_RECORDS_INTERNAL: 500,
} as const satisfies Record<ServiceErrorCode, number>;

const encryptionStatus = {
  caller: 500,
  operator: 503,
  integrity: 500,
  token: 503,
} as const satisfies Record<DataEncryptionFault, number>;

/** Answers every error with a problem document (RFC 9457 §3); of a fault of ours it tells the code and nothing else. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  readonly #logger = new Logger('problem');

  catch(error: unknown, host: ArgumentsHost): void {
    const { id } = host.switchToHttp().getRequest<FastifyRequest>();
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const { status, code, detail } = classify(error);
    if (status >= 500) this.#logger.error({ code, reason: describe(error) }, 'request failed');
    if (status === 503) void reply.header('retry-after', retryAfterSeconds);
    const problem = {
      type: `urn:nest-hsm:problem:${code}`,
      title: STATUS_CODES[status] ?? 'Error',
      status,
      code,
      detail,
      instance: `urn:uuid:${id}`,
    };
    void reply.status(status).type('application/problem+json').send(JSON.stringify(problem));
  }
}

function classify(error: unknown): { status: number; code: string; detail: string } {
  if (error instanceof DataEncryptionError) {
    // Of what passed the validation of a body, only text that is not Unicode (a lone surrogate) is no value.
    if (error.code === 'ERR_DATA_VALUE_INVALID') return { status: 400, code: error.code, detail: error.message };
    const status = encryptionStatus[error.fault];
    return { status, code: error.code, detail: ofOurs(status) };
  }
  if (error instanceof ServiceError) {
    const status = serviceStatus[error.code];
    return { status, code: error.code, detail: status < 500 ? error.message : ofOurs(status) };
  }
  const status = statusOf(error);
  if (status < 500) {
    const code = status === 404 ? 'ERR_RECORDS_NOT_FOUND' : 'ERR_RECORDS_BODY_INVALID';
    return { status, code, detail: detailOf(error) };
  }
  return { status, code: 'ERR_RECORDS_INTERNAL', detail: ofOurs(status) };
}

function ofOurs(status: number): string {
  return status === 503 ? 'The service cannot do this now; try again later.' : 'The service failed; its log says why.';
}

/** Nest throws HttpExceptions; Fastify's own errors carry `statusCode`. */
function statusOf(error: unknown): number {
  if (error instanceof HttpException) return error.getStatus();
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  return typeof status === 'number' ? status : 500;
}

/** The validation pipe puts its list of faults into the response; they name properties, not values. */
function detailOf(error: unknown): string {
  const response = error instanceof HttpException ? error.getResponse() : undefined;
  const message = typeof response === 'object' && 'message' in response ? response.message : undefined;
  if (Array.isArray(message)) return message.join('; ');
  return error instanceof Error ? error.message : 'bad request';
}

/** For the log. A failed query is named by its driver's code: its text and parameters may quote what was sent. */
function describe(error: unknown): string {
  if (error instanceof QueryFailedError)
    return `QueryFailedError ${String((error.driverError as { code?: unknown }).code)}`;
  return error instanceof Error ? `${error.name}: ${error.message}` : 'not an Error';
}
