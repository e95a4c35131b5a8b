import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError, type ApiErrorCode } from './api-error.js';
import { problemOf } from './problem.js';

const mediaType = 'application/problem+json';

/** A URL that Fastify cannot route, which Nest's filter never sees. */
export function refuseUrl(error: Error, request: FastifyRequest, reply: FastifyReply): void {
  const problem = problemOf(new ApiError('ERR_API_REQUEST_INVALID', error.message), request.id);
  void reply.status(problem.status).type(mediaType).send(JSON.stringify(problem));
}

/** What Node calls what has a status of its own (RFC 9110 §15.5.9, RFC 6585 §5). */
const codes: Readonly<Record<string, ApiErrorCode | undefined>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'ERR_API_REQUEST_TIMEOUT',
  HPE_HEADER_OVERFLOW: 'ERR_API_HEADERS_TOO_LARGE',
};

/** What Node cannot parse as HTTP, or has waited for too long: no request exists yet, only the socket. */
export function refuseConnection(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const message = `HTTP: want a request, got ${error.code ?? 'another thing'}`;
  const problem = problemOf(new ApiError(codes[error.code ?? ''] ?? 'ERR_API_REQUEST_INVALID', message), randomUUID());
  const body = JSON.stringify(problem);
  const head = [
    `HTTP/1.1 ${problem.status} ${problem.title}`,
    `content-type: ${mediaType}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
