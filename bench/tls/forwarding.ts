import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CaseFacts, contest, type Contender, type Outcome } from '../harness/contest.js';
import { inProcess } from '../harness/process.js';
import { cpuMicroseconds, residentMegabytes } from '../harness/process-cost.js';
import { issueCertificate } from './certificate.js';
import type { ForwarderTask, IdleTask, TransferTask } from './forwarding-task.js';
import { NginxProxy, provideNginx } from './nginx.js';
import { ServerProcess } from './server-process.js';

const gibibyte = 1024 ** 3;
const transferBytes = Number(process.env.NEST_HSM_BENCH_GIB ?? 2) * gibibyte;

const transferCases: Readonly<Record<string, CaseFacts & { readonly direction: 'down' | 'up' }>> = {
  'l4-cpu-s-per-gib': { direction: 'down', unit: 'CPU s/GiB', better: 'lower', target: '≥ 1× nginx' },
  'l4-up-cpu-s-per-gib': { direction: 'up', unit: 'CPU s/GiB', better: 'lower', target: '≥ 1× nginx' },
};
const warmUpConnections = 1_000;
const idleCase = 'idle-10k-kib';
export const forwardingCases = [...Object.keys(transferCases), idleCase];

/** A process that takes TLS and forwards to a TCP server. */
interface Forwarder {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}
interface Side {
  readonly name: string;
  readonly start: () => Promise<Forwarder>;
}

/**
 * What forwarding costs: CPU time of the forwarder for one connection that carries many bytes to the client or from it, and
 * its memory for each connection on which nothing moves, beside nginx (`stream`, `proxy_pass`, buffers of 64 KiB).
 */
export async function measureForwarding(
  cases: readonly string[],
  peersFolder: string,
  rounds: number,
): Promise<Outcome[]> {
  if (!cases.some((name) => forwardingCases.includes(name))) return [];
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-bench-forwarding-'));
  const nginx = provideNginx(resolve(peersFolder, 'nginx'));
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const keyFile = join(directory, 'forwarder.key');
  writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const { rootFile, certificateFile } = issueCertificate(directory, publicKey);
  const upstream = await ServerProcess.start(new URL('upstream-server.js', import.meta.url), {});
  try {
    const task: ForwarderTask = { certificateFile, keyFile, upstreamPort: upstream.port };
    const sides: readonly Side[] = [
      { name: 'tls-offload', start: () => ServerProcess.start(new URL('forwarder-server.js', import.meta.url), task) },
      { name: 'nginx stream', start: () => NginxProxy.start(nginx, task) },
    ];
    const outcomes: Outcome[] = [];
    for (const [name, { direction, ...facts }] of Object.entries(transferCases)) {
      if (!cases.includes(name)) continue;
      const [ours, peer] = sides.map((side) =>
        contender(name, side, (each) => cpuPerGibibyte(each, rootFile, direction)),
      );
      outcomes.push(...(await contest({ [name]: facts }, ours, peer, rounds)));
    }
    if (cases.includes(idleCase)) {
      const connections = Math.min(10_000, connectionsWithinLimit());
      const facts: CaseFacts = { unit: 'KiB/connection', better: 'lower', target: `with ${connections} connections` };
      const [ours, peer] = sides.map((side) =>
        contender(idleCase, side, (each) => idleKibibytes(each, rootFile, connections)),
      );
      outcomes.push(...(await contest({ [idleCase]: facts }, ours, peer, 1)));
    }
    return outcomes;
  } finally {
    await upstream.stop();
    rmSync(directory, { recursive: true });
  }
}

function contender(name: string, side: Side, measure: (forwarder: Forwarder) => Promise<number>): Contender {
  return {
    name: side.name,
    run: async () => {
      const forwarder = await side.start();
      try {
        return { [name]: { value: await measure(forwarder) } };
      } finally {
        await forwarder.stop();
      }
    },
  };
}

async function cpuPerGibibyte({ pid, port }: Forwarder, rootFile: string, direction: 'down' | 'up'): Promise<number> {
  const transfer = (bytes: number) =>
    inProcess<TransferTask, { bytes: number }>(new URL('forwarding-load.js', import.meta.url), {
      ...{ port, rootFile, direction, bytes },
    });
  await transfer(gibibyte / 8);
  const before = cpuMicroseconds(pid);
  await transfer(transferBytes);
  return (cpuMicroseconds(pid) - before) / 1_000_000 / (transferBytes / gibibyte);
}

async function idleKibibytes({ pid, port }: Forwarder, rootFile: string, connections: number): Promise<number> {
  const openFrom = async (count: number): Promise<ChildProcess> => {
    const child = fork(fileURLToPath(new URL('idle-load.js', import.meta.url)));
    const task: IdleTask = { port, rootFile, connections: count };
    child.send(task);
    await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(() => {
        throw new Error('bench: the process with the idle connections ended');
      }),
    ]);
    return child;
  };
  // What the first ones make the heap grow by, once and for all, is no connection's.
  const first = await openFrom(warmUpConnections);
  const before = residentMegabytes(pid) ?? Number.NaN;
  const rest = await openFrom(connections - warmUpConnections);
  try {
    return (((residentMegabytes(pid) ?? Number.NaN) - before) * 1_024) / (connections - warmUpConnections);
  } finally {
    for (const child of [first, rest]) child.kill('SIGKILL');
  }
}

/** A forwarder takes two descriptors for each, and some to live; what it may have is inherited from this process. */
function connectionsWithinLimit(): number {
  const limit = execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).trim();
  return limit === 'unlimited' ? Number.POSITIVE_INFINITY : Math.floor((Number(limit) - 200) / 2);
}
