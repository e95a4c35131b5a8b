import { contest, type Outcome } from '../harness/contest.js';
import { report } from '../harness/report.js';
import { crlCases, crlContender } from './crl.js';
import { CfsslBench, IssuingBench, type IssuingCase, issuingCases } from './issuing.js';
import { MillionBench, millionCases } from './million.js';
import { OcspBench, type OcspCase, ocspCases } from './ocsp.js';
import { tbsCases, tbsContender } from './tbs.js';

/** The certificate authority: what it issues and answers in a second, and with a million certificates. `npm run bench -- ca [case…]`. */
const rounds = Number(process.env.NEST_HSM_BENCH_ROUNDS ?? 5);
/** Of what takes seconds each time; `contest` adds one that warms up. */
const longRounds = Math.min(rounds, 3);
const seconds = Number(process.env.NEST_HSM_BENCH_SECONDS ?? 3);
const wanted = process.argv.slice(2);
const isWanted = (name: string): boolean => wanted.length === 0 || wanted.includes(name);
const areWanted = (cases: object): boolean => Object.keys(cases).some(isWanted);

const outcomes: Outcome[] = [];
for (const measure of [issuing, tbs, ocsp, crl, million]) outcomes.push(...(await measure()));
report(outcomes.filter(({ case: name }) => isWanted(name)));

async function issuing(): Promise<Outcome[]> {
  const names = (Object.keys(issuingCases) as IssuingCase[]).filter(isWanted);
  if (names.length === 0) return [];
  const bench = new IssuingBench();
  const peers = names.includes('issue-http-32') ? await CfsslBench.startAll() : [];
  try {
    await bench.start();
    const measured: Outcome[] = [];
    for (const name of names) {
      const others = name === 'issue-http-32' ? peers.map((peer) => peer.contender(seconds)) : [];
      measured.push(...(await contest({ [name]: issuingCases[name] }, bench.contender(name, seconds), others, rounds)));
    }
    return measured;
  } finally {
    await bench.stop();
    for (const peer of peers) await peer.stop();
  }
}

async function tbs(): Promise<Outcome[]> {
  if (!areWanted(tbsCases)) return [];
  const ours = tbsContender('nest-hsm', 'tbs-contender.js', seconds);
  const library = tbsContender('X509CertificateGenerator', 'generator-contender.js', seconds);
  return contest(tbsCases, ours, [library], longRounds);
}

async function ocsp(): Promise<Outcome[]> {
  const names = (Object.keys(ocspCases) as OcspCase[]).filter(isWanted);
  if (names.length === 0) return [];
  const bench = new OcspBench();
  try {
    await bench.start();
    const measured: Outcome[] = [];
    for (const name of names) {
      const [others, count] = name === 'ocsp-get' ? [[], rounds] : [[bench.hsmAlone(name, seconds)], longRounds];
      measured.push(...(await contest({ [name]: ocspCases[name] }, bench.contender(name, seconds), others, count)));
    }
    return measured;
  } finally {
    await bench.stop();
  }
}

async function crl(): Promise<Outcome[]> {
  return areWanted(crlCases) ? contest(crlCases, crlContender(), [], longRounds) : [];
}

async function million(): Promise<Outcome[]> {
  if (!areWanted(millionCases)) return [];
  const bench = new MillionBench();
  try {
    await bench.prepare();
    return await contest(millionCases, bench.contender(), [bench.small()], longRounds);
  } finally {
    bench.remove();
  }
}
