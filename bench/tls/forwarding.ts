import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CaseFacts, contest, type Contender, type Outcome } from '../harness/contest.js';
import { inProcess } from '../harness/process.js';
import { cpuMicrosecondsOfTree, residentMegabytesOfTree } from '../harness/process-cost.js';
import { issueCertificate } from './certificate.js';
import type { ForwarderTask, IdleTask, TransferTask } from './forwarding-task.js';
import { Nginx } from './nginx.js';
import type { Peers } from './peers.js';
import { ServerProcess } from './server-process.js';
import { type MeasuredServer, type Side, whileRunning } from './side.js';

const gibibyte = 1024 ** 3;
const transferBytes = Number(process.env.NEST_HSM_BENCH_GIB ?? 2) * gibibyte;

const transferCases: Readonly<Record<string, CaseFacts & { readonly direction: 'down' | 'up' }>> = {
  'l4-cpu-s-per-gib': { direction: 'down', unit: 'CPU s/GiB', better: 'lower', target: '≥ 1× nginx' },
  'l4-up-cpu-s-per-gib': { direction: 'up', unit: 'CPU s/GiB', better: 'lower', target: '≥ 1× nginx' },
};
const warmUpConnections = 1_000;
const idleCase = 'idle-10k-kib';
export const forwardingCases = [...Object.keys(transferCases), idleCase];

/**
 * What forwarding costs: CPU time of the forwarder for one connection that carries many bytes to the client or from it, and
 * its memory for each connection on which nothing moves, beside nginx (`stream`, `proxy_pass`, buffers of 64 KiB).
 */
export async function measureForwarding(cases: readonly string[], peers: Peers, rounds: number): Promise<Outcome[]> {
  if (!cases.some((name) => forwardingCases.includes(name))) return [];
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-bench-forwarding-'));
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const keyFile = join(directory, 'forwarder.key');
  writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const { rootFile, certificateFile } = issueCertificate(directory, publicKey);
  const upstream = await ServerProcess.start(new URL('upstream-server.js', import.meta.url), {});
  try {
    const task: ForwarderTask = { certificateFile, keyFile, upstreamPort: upstream.port };
    const { nginx } = peers;
    const ours: Side = {
      name: 'tls-offload',
      start: () => ServerProcess.start(new URL('forwarder-server.js', import.meta.url), task),
    };
    const others: Side[] =
      nginx === undefined
        ? []
        : [
            {
              name: 'nginx stream',
              start: () => Nginx.start(nginx, { workers: 1, block: (port) => streamBlock(port, task) }),
            },
          ];
    const compare = (
      name: string,
      facts: CaseFacts,
      measure: (each: MeasuredServer) => Promise<number>,
      times: number,
    ) => {
      const contender = (side: Side): Contender => ({
        name: side.name,
        run: async () => ({ [name]: { value: await whileRunning(side, measure) } }),
      });
      return contest({ [name]: facts }, contender(ours), others.map(contender), times);
    };
    const outcomes: Outcome[] = [];
    for (const [name, { direction, ...facts }] of Object.entries(transferCases)) {
      if (!cases.includes(name)) continue;
      outcomes.push(...(await compare(name, facts, (each) => cpuPerGibibyte(each, rootFile, direction), rounds)));
    }
    if (cases.includes(idleCase)) {
      const connections = Math.min(10_000, connectionsWithinLimit());
      const facts: CaseFacts = { unit: 'KiB/connection', better: 'lower', target: `with ${connections} connections` };
      outcomes.push(...(await compare(idleCase, facts, (each) => idleKibibytes(each, rootFile, connections), 1)));
    }
    return outcomes;
  } finally {
    await upstream.stop();
    rmSync(directory, { recursive: true });
  }
}

function streamBlock(port: number, { certificateFile, keyFile, upstreamPort }: ForwarderTask): string {
  return `stream {
    server {
      listen 127.0.0.1:${port} ssl backlog=1024;
      ssl_certificate ${certificateFile}; ssl_certificate_key ${keyFile};
      ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off;
      proxy_pass 127.0.0.1:${upstreamPort}; proxy_buffer_size 64k; proxy_timeout 10m;
    }
  }`;
}

async function cpuPerGibibyte(
  { pid, port }: MeasuredServer,
  rootFile: string,
  direction: 'down' | 'up',
): Promise<number> {
  const transfer = (bytes: number) =>
    inProcess<TransferTask, { bytes: number }>(new URL('forwarding-load.js', import.meta.url), {
      ...{ port, rootFile, direction, bytes },
    });
  await transfer(gibibyte / 8);
  const before = cpuMicrosecondsOfTree(pid);
  await transfer(transferBytes);
  return (cpuMicrosecondsOfTree(pid) - before) / 1_000_000 / (transferBytes / gibibyte);
}

async function idleKibibytes({ pid, port }: MeasuredServer, rootFile: string, connections: number): Promise<number> {
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
  const before = residentMegabytesOfTree(pid) ?? Number.NaN;
  const rest = await openFrom(connections - warmUpConnections);
  try {
    return (((residentMegabytesOfTree(pid) ?? Number.NaN) - before) * 1_024) / (connections - warmUpConnections);
  } finally {
    for (const child of [first, rest]) child.kill('SIGKILL');
  }
}

/** A forwarder takes two descriptors for each, and some to live; what it may have is inherited from this process. */
function connectionsWithinLimit(): number {
  const limit = execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).trim();
  return limit === 'unlimited' ? Number.POSITIVE_INFINITY : Math.floor((Number(limit) - 200) / 2);
}
