import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError } from './api-error.js';
import { ProblemReports } from './problem-reports.js';

/** Seconds after which a caller may try again. */
const retryAfterSeconds = 5;

/** Answers every error with a problem document. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly problems: ProblemReports) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<FastifyRequest>();
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const problem = this.problems.report(error, request.id);
    const retryAfter = error instanceof ApiError ? error.retryAfterSeconds : undefined;
    if (retryAfter !== undefined) void reply.header('retry-after', retryAfter);
    else if (problem.status === 503) void reply.header('retry-after', retryAfterSeconds);
    else if (problem.code === 'ERR_CA_IDEMPOTENCY_IN_PROGRESS') void reply.header('retry-after', 1);
    // A route that lets its answers be kept has said so by now, and its refusals are none of them.
    void reply.header('cache-control', 'no-store');
    if (problem.status === 401) void reply.header('www-authenticate', 'Bearer realm="nest-hsm-ca"');
    void reply.status(problem.status).type('application/problem+json').send(JSON.stringify(problem));
  }
}
