import { HealthIndicatorService } from '@nestjs/terminus';
import type { Sidecar } from '../serving/sidecar.js';
import { checkCrls, checkStaples, checkTickets, checkUpstreams } from './upkeep-health.js';

const indicators = new HealthIndicatorService();
const soon = new Date(Date.now() + 3_600_000);
const over = new Date(Date.now() - 1_000);

/** A sidecar of one listener, with this to say of it. */
function serving(lane: object, sessionTickets?: object): Sidecar {
  const statistics = { web: { crls: [], upstreamCrls: [], staples: [], upstreams: [], ...lane } };
  return { statistics, sessionTickets } as unknown as Sidecar;
}

const crl = (nextUpdate: Date): object => ({ issuer: '/CN=issuer', thisUpdate: over, nextUpdate });
const staple = (more: object): object => ({ subject: 'CN=web', isRevoked: false, isMissing: false, ...more });

const rows: [string, string, () => object][] = [
  ['up', 'a CRL in force', () => checkCrls(indicators, serving({ crls: [crl(soon)] }), 'clientCrls')],
  [
    'down',
    'a CRL for clients that has ended',
    () => checkCrls(indicators, serving({ crls: [crl(over)] }), 'clientCrls'),
  ],
  ['up', 'one that is of upstreams', () => checkCrls(indicators, serving({ upstreamCrls: [crl(over)] }), 'clientCrls')],
  ['down', 'the same of those', () => checkCrls(indicators, serving({ upstreamCrls: [crl(over)] }), 'upstreamCrls')],
  ['up', 'no staple that anybody misses', () => checkStaples(indicators, serving({ staples: [staple({})] }))],
  ['degraded', 'a missing staple', () => checkStaples(indicators, serving({ staples: [staple({ isMissing: true })] }))],
  [
    'down',
    'a revoked certificate beside it',
    () => checkStaples(indicators, serving({ staples: [staple({ isMissing: true }), staple({ isRevoked: true })] })),
  ],
  ['up', 'no tickets where none are configured', () => checkTickets(indicators, serving({}))],
  ['up', 'tickets that are given out', () => checkTickets(indicators, serving({}, { isIssuing: true, keys: 1 }))],
  ['degraded', 'tickets that are not', () => checkTickets(indicators, serving({}, { isIssuing: false, keys: 0 }))],
  [
    'degraded',
    'an upstream that is left alone',
    () => checkUpstreams(indicators, serving({ upstreams: [{ url: 'http://a', state: 'ejected' }] })),
  ],
];

it.each(rows)('is %s with %s', (status, _what, check) => {
  expect(Object.values(check())).toMatchObject([{ status }]);
});
