import { Injectable, Logger } from '@nestjs/common';
import type { CaJob, ExpiryNotice } from '@nest-hsm/ca';
import { CaMetrics } from './ca-metrics.js';

/** Says when scheduled work fails, since no caller is there to be told. */
@Injectable()
export class JobObserver {
  readonly #logger = new Logger('schedule');

  constructor(private readonly metrics: CaMetrics) {}

  jobFailed(job: CaJob, error: unknown): void {
    this.metrics.jobFailed(job);
    this.#logger.error({ err: error, job }, 'scheduled job failed, to be tried again');
  }

  expiring({ withinDays, certificates }: ExpiryNotice): void {
    this.metrics.expiring(withinDays, certificates.length);
    this.#logger.warn({ withinDays, serials: certificates.map(({ serial }) => serial) }, 'certificates expire soon');
  }
}
