import { resolve } from 'node:path';
import { report } from '../harness/report.js';
import { forwardingCases, measureForwarding } from './forwarding.js';
import { handshakeCases, measureHandshakes } from './handshakes.js';
import { measureOpenConnection, openConnectionCase } from './open-connection.js';
import { providePeers } from './peers.js';
import { measureRestart, restartCases } from './restart.js';
import { measureSoak, soakCases } from './soak.js';

/**
 * `npm run bench -- tls [case…]`: libs/tls-offload on `Hsm` beside nginx and Node.js with OpenSSL's PKCS#11 engine, behind the same
 * steerable module, and Node.js with a key in a file; then what forwarding costs, beside nginx.
 */
const rounds = Number(process.env.NEST_HSM_BENCH_ROUNDS ?? 5);
const seconds = Number(process.env.NEST_HSM_BENCH_SECONDS ?? 3);

const known = [...handshakeCases, openConnectionCase, ...restartCases, ...forwardingCases, ...soakCases];
const wanted = process.argv.length > 2 ? process.argv.slice(2) : known;
const unknown = wanted.filter((name) => !known.includes(name));
if (unknown.length > 0) throw new Error(`bench: want cases of ${known.join(', ')}, got ${unknown.join(', ')}`);

const peers = providePeers(resolve(process.env.NEST_HSM_BENCH_PEERS ?? 'var/bench/peers'));
const isWanted = (name: string): boolean => wanted.includes(name);
report(
  [
    ...(await measureHandshakes(wanted, peers, rounds, seconds)),
    ...(isWanted(openConnectionCase) ? await measureOpenConnection(peers, rounds, seconds) : []),
    ...(restartCases.some(isWanted) ? await measureRestart(peers) : []),
    ...(await measureForwarding(wanted, peers, rounds)),
    ...(soakCases.some(isWanted) ? await measureSoak(peers) : []),
  ],
  peers.absent.map((reason) => `Absent peer: ${reason}`),
);
