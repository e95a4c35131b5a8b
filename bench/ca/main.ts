import { contest, type Outcome } from '../harness/contest.js';
import { report } from '../harness/report.js';
import { crlCases, crlContender } from './crl.js';
import { IssuingBench, issuingCases } from './issuing.js';
import { MillionBench, millionCases } from './million.js';
import { tbsCases, tbsContender } from './tbs.js';

/** The certificate authority: what it issues in a second. `npm run bench -- ca [case…]`. */
const rounds = Number(process.env.NEST_HSM_BENCH_ROUNDS ?? 5);
const seconds = Number(process.env.NEST_HSM_BENCH_SECONDS ?? 3);
const wanted = process.argv.slice(2);
const isWanted = (name: string): boolean => wanted.length === 0 || wanted.includes(name);

const outcomes: Outcome[] = [];
const issuing = new IssuingBench();
try {
  const names = (Object.keys(issuingCases) as (keyof typeof issuingCases)[]).filter(isWanted);
  if (names.length > 0) await issuing.start();
  for (const name of names) {
    const ours = { name: 'nest-hsm', run: () => issuing.run(name, seconds) };
    outcomes.push(...(await contest({ [name]: issuingCases[name] }, ours, undefined, rounds)));
  }
} finally {
  await issuing.stop();
}
if (isWanted('tbs')) {
  const ours = tbsContender('nest-hsm', 'tbs-contender.js', seconds);
  const library = tbsContender('X509CertificateGenerator', 'generator-contender.js', seconds);
  outcomes.push(...(await contest(tbsCases, ours, library, rounds)));
}
if (Object.keys(crlCases).some(isWanted))
  outcomes.push(...(await contest(crlCases, crlContender(), undefined, rounds)));
if (Object.keys(millionCases).some(isWanted)) {
  const million = new MillionBench();
  try {
    await million.prepare();
    const ours = { name: 'nest-hsm', run: () => million.run() };
    outcomes.push(...(await contest(millionCases, ours, undefined, rounds)));
  } finally {
    million.remove();
  }
}
report(outcomes);
