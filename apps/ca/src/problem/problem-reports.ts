import { Injectable, Logger } from '@nestjs/common';
import { CaMetrics } from '../monitoring/ca-metrics.js';
import { type Problem, problemOf } from './problem.js';

/** Every problem that a caller is told of is counted, and each fault of ours is in the log, under the request's id. */
@Injectable()
export class ProblemReports {
  readonly #logger = new Logger('problem');

  constructor(private readonly metrics: CaMetrics) {}

  /** @returns what the caller may know of it */
  report(error: unknown, requestId: string): Problem {
    const problem = problemOf(error, requestId);
    if (problem.status >= 500)
      this.#logger.error({ err: error, code: problem.code, req: { id: requestId } }, 'problem');
    this.metrics.refused(problem.code);
    return problem;
  }
}
