import type { ExpiringCertificate } from '../store/expiry-store.js';

/** Told that certificates expire: what a webhook sends, too. */
export interface ExpiryNotice {
  /** The same for the same certificates, so that a notice that comes twice can be told. */
  readonly id: string;
  readonly withinDays: number;
  readonly certificates: readonly ExpiringCertificate[];
}
