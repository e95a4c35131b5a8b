import { createPublicKey } from 'node:crypto';
import { join } from 'node:path';
import { Hsm } from '@nest-hsm/hsm';
import { VirtualHsm } from '../../test/chaos/virtual-hsm.js';
import { contest, type Outcome } from '../harness/contest.js';
import { inProcess } from '../harness/process.js';
import { report } from '../harness/report.js';
import { issueCertificate } from './certificate.js';
import { provideEngine } from './engine.js';
import { forwardingCases, measureForwarding } from './forwarding.js';
import { ServerProcess } from './server-process.js';
import type { LoadResult, LoadTask, ServerTask } from './task.js';

/**
 * `npm run bench -- tls [case…]`. Full TLS 1.3 handshakes a second with an EC key on the token, which takes 0 or 5 ms longer over each
 * signature: libs/tls-offload on `Hsm` against Node's own tls with OpenSSL's PKCS#11 engine, both behind the same steerable module.
 * Then what forwarding costs, beside nginx.
 */
const rounds = Number(process.env.NEST_HSM_BENCH_ROUNDS ?? 5);
const seconds = Number(process.env.NEST_HSM_BENCH_SECONDS ?? 3);
const clients = 64;
const keyLabel = 'tls-ec';
const peersFolder = process.env.NEST_HSM_BENCH_PEERS ?? 'var/bench/peers';

const delays = { 'ec-0ms': 0, 'ec-5ms': 5 };
const known = [...Object.keys(delays), ...forwardingCases];
const wanted = process.argv.length > 2 ? process.argv.slice(2) : known;
const unknown = wanted.filter((name) => !known.includes(name));
if (unknown.length > 0) throw new Error(`bench: want cases of ${known.join(', ')}, got ${unknown.join(', ')}`);

report([...(await measureHandshakes()), ...(await measureForwarding(wanted, peersFolder, rounds))]);

async function measureHandshakes(): Promise<Outcome[]> {
  const cases = Object.entries(delays).filter(([name]) => wanted.includes(name));
  if (cases.length === 0) return [];
  const device = new VirtualHsm('bench-tls');
  try {
    const engine = provideEngine(join(peersFolder, 'engine'));
    const hsm = await Hsm.open(device.config());
    const { spki } = await hsm.generateKeyPair({ label: keyLabel, algorithm: 'ec-p256' });
    await hsm.close();
    const publicKey = createPublicKey({ key: spki as Buffer, format: 'der', type: 'spki' });
    const { rootFile, certificateFile } = issueCertificate(device.token.directory, publicKey);

    const config = device.config() as ServerTask['config'];
    const task: ServerTask = { config, keyLabel, certificateFile, engine };
    const environment = { ...device.moduleEnvironment, PKCS11_MODULE_PATH: device.module };
    const handshakes = async (module: string, variables: Record<string, string>) => {
      const server = await ServerProcess.start(new URL(module, import.meta.url), task, variables);
      try {
        const load = { port: server.port, rootFile, clients };
        const generator = new URL('load-generator.js', import.meta.url);
        await inProcess<LoadTask, LoadResult>(generator, { ...load, seconds: 0.5 });
        const before = await server.cpuMicroseconds();
        const result = await inProcess<LoadTask, LoadResult>(generator, { ...load, seconds });
        const cpuMicroseconds = ((await server.cpuMicroseconds()) - before) / result.handshakes;
        return { value: result.handshakesPerSecond, cpuMicroseconds };
      } finally {
        await server.stop();
      }
    };

    const outcomes: Outcome[] = [];
    for (const [name, milliseconds] of cases) {
      const contender = (title: string, module: string, variables: Record<string, string>) => ({
        name: title,
        run: async () => ({ [name]: await handshakes(module, variables) }),
      });
      device.delay('C_Sign', milliseconds);
      outcomes.push(
        ...(await contest(
          { [name]: { unit: 'handshakes/s', better: 'higher' } },
          contender('tls-offload', 'terminator-server.js', {}),
          contender('Node tls + engine', 'engine-server.js', environment),
          rounds,
        )),
      );
    }
    return outcomes;
  } finally {
    device.remove();
  }
}
