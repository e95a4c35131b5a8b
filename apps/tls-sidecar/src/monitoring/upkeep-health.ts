import type { HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import type { Sidecar } from '../serving/sidecar.js';

/** Whether peers with certificates can be let in: `down` where a CRL has ended, since all that its issuer certifies are refused. */
export function checkCrls(
  indicators: HealthIndicatorService,
  { statistics }: Sidecar,
  name: 'clientCrls' | 'upstreamCrls',
): HealthIndicatorResult {
  const check = indicators.check(name);
  const ended = Object.entries(statistics).flatMap(([listener, { crls, upstreamCrls }]) =>
    (name === 'clientCrls' ? crls : upstreamCrls)
      .filter(({ nextUpdate }) => nextUpdate <= new Date())
      .map(({ issuer, nextUpdate }) => ({ listener, issuer, ended: nextUpdate.toISOString() })),
  );
  return ended.length > 0 ? check.down({ ended }) : check.up();
}

/** `down` for a certificate that its issuer has revoked; `degraded` where one promises a staple that it has not. */
export function checkStaples(indicators: HealthIndicatorService, { statistics }: Sidecar): HealthIndicatorResult {
  const check = indicators.check('ocspStaples');
  const all = Object.values(statistics).flatMap(({ staples }) => staples);
  const subjects = (of: typeof all): string[] => [...new Set(of.map(({ subject }) => subject))];
  const revoked = subjects(all.filter(({ isRevoked }) => isRevoked));
  const missing = subjects(all.filter(({ isMissing }) => isMissing));
  if (revoked.length > 0) return check.down({ revoked, missing });
  return missing.length > 0 ? check.degraded({ missing }) : check.up();
}

/** `degraded` while an upstream is left alone: it is not for the sidecar to mend. */
export function checkUpstreams(indicators: HealthIndicatorService, { statistics }: Sidecar): HealthIndicatorResult {
  const check = indicators.check('upstreams');
  const leftAlone = Object.entries(statistics).flatMap(([listener, { upstreams }]) =>
    upstreams.filter(({ state }) => state !== 'serving').map(({ url, state }) => ({ listener, url, state })),
  );
  return leftAlone.length > 0 ? check.degraded({ leftAlone }) : check.up();
}

/** `degraded` while clients get no tickets that are to: handshakes go on, each with a signature. */
export function checkTickets(indicators: HealthIndicatorService, { sessionTickets }: Sidecar): HealthIndicatorResult {
  const check = indicators.check('sessionTickets');
  if (sessionTickets === undefined) return check.up({ configured: false });
  const { isIssuing, keys, failing } = sessionTickets;
  const facts = { keys, failing: failing?.code, since: failing?.since.toISOString() };
  return isIssuing ? check.up(facts) : check.degraded(facts);
}
