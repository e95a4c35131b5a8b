import type { Issuers } from '../authority/issuers.js';
import type { ParsedCaConfig } from '../config.js';
import type { Recovery } from '../issuance/recovery.js';
import type { CaObserver } from '../observer.js';
import type { CertificateStatus } from '../revocation/certificate-status.js';
import { type JobRunner, Schedule, type SharedJobs } from '../schedule.js';
import type { ExpiryStore } from '../store/expiry-store.js';
import { scanExpiries } from './expiry-scan.js';
import { Webhook } from './webhook.js';

export interface AuthorityJobsContext {
  readonly config: Pick<ParsedCaConfig, 'expiry'>;
  readonly issuers: Issuers;
  readonly status: CertificateStatus;
  readonly recovery: Recovery;
  readonly expiries: ExpiryStore;
  readonly observer: CaObserver;
  readonly now: () => Date;
  /** Absent: every process runs every job, which does no harm. */
  readonly sharedJobs?: SharedJobs;
}

/**
 * What a CA does by itself, again and again. What one replica is enough for is shared out; each of them takes over what another one
 * has made, and makes a CRL that is overdue itself, whatever shares the jobs out.
 */
export function authorityJobs({ sharedJobs, ...context }: AuthorityJobsContext): readonly JobRunner[] {
  const { config, issuers, status, recovery, expiries, observer, now } = context;
  const { noticeDays, webhook } = config.expiry;
  const scan = {
    expiries,
    noticeDays,
    webhook: webhook && Webhook.of(webhook),
    observer,
    now,
    issuers: () => issuers.generations.map(({ issuer }) => issuer),
  };
  const own = { issuers: () => issuers.refresh() };
  const shared = {
    recovery: () => recovery.run(),
    expiry: () => scanExpiries(scan),
    crl: () => status.refreshCrls(),
    ocsp: () => status.refreshOcsp(),
  };
  if (sharedJobs === undefined) return [new Schedule({ ...own, ...shared }, observer)];
  return [new Schedule({ ...own, status: () => status.takeOver() }, observer), sharedJobs(shared, observer)];
}
