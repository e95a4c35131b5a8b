import type { CrlStatus } from '@nest-hsm/tls-offload';
import type { Sidecar } from '../serving/sidecar.js';
import type { Collected, Put } from './collected.js';

/** What is kept up beside certificates: CRLs for clients' certificates, OCSP staples, keys of session tickets. */
export function registerUpkeepMetrics(collected: Collected, sidecar: Sidecar): void {
  registerCrls(collected, sidecar);
  registerStaples(collected, sidecar);
  registerTickets(collected, sidecar);
}

function registerCrls(collected: Collected, sidecar: Sidecar): void {
  collected.gauge(
    'client_crl_age_seconds',
    'Since the CRL in force was made; of several of one issuer, the oldest',
    ['listener', 'issuer'],
    perIssuer(({ thisUpdate }) => (Date.now() - thisUpdate.getTime()) / 1_000, Math.max),
    'max',
  );
  collected.gauge(
    'client_crl_expiry_seconds',
    'Until the CRL in force ends; negative: it has, and the clients of its issuer are refused',
    ['listener', 'issuer'],
    perIssuer(({ nextUpdate }) => (nextUpdate.getTime() - Date.now()) / 1_000, Math.min),
    'min',
  );

  /** An issuer may have several CRLs in force, one for each distribution point. */
  function perIssuer(value: (crl: CrlStatus) => number, worse: (a: number, b: number) => number): (put: Put) => void {
    return (put) => {
      for (const [listener, { crls }] of Object.entries(sidecar.statistics)) {
        const worst = new Map<string, number>();
        for (const crl of crls) worst.set(crl.issuer, worse(value(crl), worst.get(crl.issuer) ?? value(crl)));
        for (const [issuer, seconds] of worst) put(seconds, { listener, issuer });
      }
    };
  }
}

function registerStaples(collected: Collected, sidecar: Sidecar): void {
  collected.gauge(
    'ocsp_staple_expiry_seconds',
    'Until the stapled OCSP response ends; absent while none is stapled',
    ['listener', 'subject'],
    (put) => {
      for (const [listener, { staples }] of Object.entries(sidecar.statistics)) {
        for (const { subject, nextUpdate } of staples) {
          if (nextUpdate !== undefined) put((nextUpdate.getTime() - Date.now()) / 1_000, { listener, subject });
        }
      }
    },
    'min',
  );
  collected.gauge(
    'ocsp_staple_fault',
    'Whether a certificate is revoked, or promises a staple and has none (missing)',
    ['listener', 'subject', 'fault'],
    (put) => {
      for (const [listener, { staples }] of Object.entries(sidecar.statistics)) {
        for (const { subject, isMissing, isRevoked } of staples) {
          put(Number(isMissing), { listener, subject, fault: 'missing' });
          put(Number(isRevoked), { listener, subject, fault: 'revoked' });
        }
      }
    },
    'max',
  );
}

function registerTickets(collected: Collected, sidecar: Sidecar): void {
  const gauge = (name: string, help: string, value: (status: NonNullable<Sidecar['sessionTickets']>) => number): void =>
    collected.gauge(
      name,
      help,
      [],
      (put) => {
        if (sidecar.sessionTickets !== undefined) put(value(sidecar.sessionTickets));
      },
      'min',
    );
  gauge('session_ticket_keys', 'Keys that session tickets are opened with', ({ keys }) => keys);
  gauge('session_tickets_issuing', 'Whether clients of TLS 1.3 get session tickets', ({ isIssuing }) =>
    Number(isIssuing),
  );
}
