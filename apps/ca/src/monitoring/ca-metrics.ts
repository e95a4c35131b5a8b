import { type CaJob, type CrlCondition, crlFileName, type CrlWatch, type OcspOutcome } from '@nest-hsm/ca';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

const conditions: Readonly<Record<CrlCondition, number>> = { fresh: 0, overdue: 1, lapsed: 2 };

/** What the certificate authority counts, in Prometheus' terms. */
export class CaMetrics {
  readonly #issued: Counter<'profile'>;
  readonly #refused: Counter<'code'>;
  readonly #duration: Histogram;
  readonly #jobFailures: Counter<'job'>;
  readonly #expiring: Counter<'within_days'>;
  readonly #crlNextUpdate: Gauge<'issuer' | 'crl'>;
  readonly #crlCondition: Gauge<'issuer' | 'crl'>;
  readonly #crlEntries: Gauge<'issuer' | 'crl'>;
  readonly #ocspAnswers: Counter<'outcome'>;

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
      labelNames: ['issuer', 'crl'],
      registers,
    });
    this.#crlCondition = new Gauge({
      name: 'ca_crl_condition',
      help: 'How the CRL in force stands: 0 fresh, 1 overdue (alarm), 2 lapsed',
      labelNames: ['issuer', 'crl'],
      registers,
    });
    this.#crlEntries = new Gauge({
      name: 'ca_crl_entries',
      help: 'Certificates that the CRL in force lists',
      labelNames: ['issuer', 'crl'],
      registers,
    });
    this.#ocspAnswers = new Counter({
      name: 'ca_ocsp_responses_total',
      help: 'OCSP requests answered',
      labelNames: ['outcome'],
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

  ocspAnswered(outcome: OcspOutcome): void {
    this.#ocspAnswers.inc({ outcome });
  }

  /** Every CRL there is at this moment; what is no longer watched is no longer told. */
  crls(watch: readonly CrlWatch[]): void {
    for (const gauge of [this.#crlNextUpdate, this.#crlCondition, this.#crlEntries]) gauge.reset();
    for (const crl of watch) {
      const labels = { issuer: crl.issuerId, crl: crlFileName(crl) };
      this.#crlNextUpdate.set(labels, crl.nextUpdate.getTime() / 1000);
      this.#crlCondition.set(labels, conditions[crl.condition]);
      this.#crlEntries.set(labels, crl.entries);
    }
  }
}
