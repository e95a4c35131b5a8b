import type { CrlStatus, StaplingStatus } from '@nest-hsm/tls-offload';
import type { LaneStatistics } from '../serving/lane.js';
import type { Sidecar } from '../serving/sidecar.js';
import type { Collected, Put } from './collected.js';

/** What is kept up beside certificates: CRLs for certificates of clients and upstreams, OCSP staples, keys of session tickets. */
export function registerUpkeepMetrics(collected: Collected, sidecar: Sidecar): void {
  registerCrls(collected, sidecar, 'client', ({ crls }) => crls);
  registerCrls(collected, sidecar, 'upstream', ({ upstreamCrls }) => upstreamCrls);
  registerStaples(collected, sidecar);
  registerTickets(collected, sidecar);
}

function registerCrls(
  collected: Collected,
  sidecar: Sidecar,
  peer: 'client' | 'upstream',
  crlsOf: (statistics: LaneStatistics) => readonly CrlStatus[],
): void {
  collected.gauge(
    `${peer}_crl_age_seconds`,
    'Since the CRL in force was made; of several of one issuer, the oldest',
    ['listener', 'issuer'],
    perIssuer(({ thisUpdate }) => (Date.now() - thisUpdate.getTime()) / 1_000, Math.max),
    'max',
  );
  collected.gauge(
    `${peer}_crl_expiry_seconds`,
    `Until the CRL in force ends; negative: it has, and each ${peer} that its issuer certifies is refused`,
    ['listener', 'issuer'],
    perIssuer(({ nextUpdate }) => secondsUntil(nextUpdate), Math.min),
    'min',
  );

  /** An issuer may have several CRLs in force, one for each distribution point. */
  function perIssuer(value: (crl: CrlStatus) => number, worse: Worse): (put: Put) => void {
    return (put) => {
      for (const [listener, statistics] of Object.entries(sidecar.statistics)) {
        const all = crlsOf(statistics).map((crl): [string, number] => [crl.issuer, value(crl)]);
        for (const [issuer, worst] of worstOf(all, worse)) put(worst, { listener, issuer });
      }
    };
  }
}

function registerStaples(collected: Collected, sidecar: Sidecar): void {
  collected.gauge(
    'ocsp_staple_expiry_seconds',
    'Until the stapled OCSP response ends; absent while none is stapled',
    ['listener', 'subject'],
    perSubject({}, ({ nextUpdate }) => (nextUpdate === undefined ? Infinity : secondsUntil(nextUpdate)), Math.min),
    'min',
  );
  const faults = 'Whether a certificate is revoked, or promises a staple and has none (missing)';
  collected.gauge(
    'ocsp_staple_fault',
    faults,
    ['listener', 'subject', 'fault'],
    (put) => {
      perSubject({ fault: 'missing' }, ({ isMissing }) => Number(isMissing), Math.max)(put);
      perSubject({ fault: 'revoked' }, ({ isRevoked }) => Number(isRevoked), Math.max)(put);
    },
    'max',
  );

  /** A subject may have several certificates, one for each kind of key. */
  function perSubject(
    labels: Readonly<Record<string, string>>,
    value: (staple: StaplingStatus) => number,
    worse: Worse,
  ): (put: Put) => void {
    return (put) => {
      for (const [listener, { staples }] of Object.entries(sidecar.statistics)) {
        const all = staples.map((staple): [string, number] => [staple.subject, value(staple)]);
        for (const [subject, worst] of worstOf(all, worse)) {
          if (Number.isFinite(worst)) put(worst, { listener, subject, ...labels });
        }
      }
    };
  }
}

type Worse = (a: number, b: number) => number;

function worstOf(all: readonly (readonly [name: string, value: number])[], worse: Worse): Map<string, number> {
  const worst = new Map<string, number>();
  for (const [name, value] of all) worst.set(name, worse(value, worst.get(name) ?? value));
  return worst;
}

function secondsUntil(date: Date): number {
  return (date.getTime() - Date.now()) / 1_000;
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
