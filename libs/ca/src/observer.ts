import type { ExpiryNotice } from './jobs/expiry-notice.js';

/** Moments of an issuance, in order. After each one a crash must lose nothing; the tests kill the process at every one. */
export const caSteps = [
  'key-generated',
  'certificate-reserved',
  'certificate-linted',
  'certificate-committed',
  'certificate-signed',
  'certificate-completed',
  'transcript-written',
  'crl-committed',
  'crl-signed',
  'crl-completed',
] as const;
export type CaStep = (typeof caSteps)[number];

/** Told of what the CA does by itself, where no caller could be told. Must not throw. */
export interface CaObserver {
  /** @param subject  label of a key, serial of a certificate, number of a CRL */
  step?(step: CaStep, subject: string): void;
  /** A scheduled job failed and will be tried again. */
  jobFailed?(job: CaJob, error: unknown): void;
  /** Certificates expire soon; told once for each distance, and again only after a crash. */
  expiring?(notice: ExpiryNotice): void;
}

export type CaJob = 'issuers' | 'status' | 'recovery' | 'crl' | 'ocsp' | 'expiry' | 'schedule';
