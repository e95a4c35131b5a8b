import type { CaJob } from '@nest-hsm/ca';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** What the certificate authority counts, in Prometheus' terms. */
export class CaMetrics {
  readonly #issued: Counter<'profile'>;
  readonly #refused: Counter<'code'>;
  readonly #duration: Histogram;
  readonly #jobFailures: Counter<'job'>;
  readonly #expiring: Counter<'within_days'>;
  readonly #crlNextUpdate: Gauge;

  constructor(readonly registry: Registry) {
    const registers = [registry];
    this.#issued = new Counter({
      name: 'ca_certificates_issued_total',
      help: 'Certificates issued',
      labelNames: ['profile'],
      registers,
    });
    this.#refused = new Counter({
      name: 'ca_problems_total',
      help: 'Requests answered with a problem document',
      labelNames: ['code'],
      registers,
    });
    this.#duration = new Histogram({
      name: 'ca_issuance_duration_seconds',
      help: 'From the CSR to the stored certificate',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers,
    });
    this.#jobFailures = new Counter({
      name: 'ca_job_failures_total',
      help: 'Scheduled jobs that failed',
      labelNames: ['job'],
      registers,
    });
    this.#expiring = new Counter({
      name: 'ca_certificates_expiring_total',
      help: 'Certificates that came within a distance of their expiry',
      labelNames: ['within_days'],
      registers,
    });
    this.#crlNextUpdate = new Gauge({
      name: 'ca_crl_next_update_timestamp_seconds',
      help: 'When the CRL in force lapses',
      registers,
    });
  }

  /** @returns to be called with the profile once the certificate is issued */
  startIssuance(): (profile: string) => void {
    const stop = this.#duration.startTimer();
    return (profile) => {
      stop();
      this.#issued.inc({ profile });
    };
  }

  refused(code: string): void {
    this.#refused.inc({ code });
  }

  jobFailed(job: CaJob): void {
    this.#jobFailures.inc({ job });
  }

  expiring(withinDays: number, certificates: number): void {
    this.#expiring.inc({ within_days: String(withinDays) }, certificates);
  }

  crlNextUpdate(at: Date): void {
    this.#crlNextUpdate.set(at.getTime() / 1000);
  }
}
