import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { CaHome, CaService } from '../../test/support/ca-service.js';
import { buildCsr, commonName, dns, extensionRequest, subjectAltName, toPem } from '../../test/support/csr.js';
import { keepCalling } from '../harness/callers.js';
import type { CaseFacts, Contender, Samples } from '../harness/contest.js';
import { cpuMicroseconds } from '../harness/process-cost.js';
import { childrenOf } from '../../test/support/processes.js';
import { CfsslServer, provideCfssl, type Synchronous } from './cfssl.js';
import { HttpClients, httpRequest } from './http-connection.js';

const batchSize = 250;
const batchesAtOnce = 2;
const clients = 32;
/** Until V8 has compiled what issuing runs, some ten thousand certificates long, compiling takes up to a quarter of all processor time. */
const warmUpCertificates = 15_000;

/**
 * Certificates of the CA app over HTTP, issued by an EC P-256 key in SoftHSM, stored in SQLite and audited, as they are by
 * default. The CPU time is that of the app and of its agent. The peer is `cfssl serve`, whose key is in software and which
 * keeps no audit trail; twice, with commits that wait for the disk as ours do, and with those that do not.
 */
export const issuingCases = {
  'issue-batch': { unit: 'certificates/s', better: 'higher', target: '≥ 2000/s' },
  'issue-http-32': {
    unit: 'certificates/s',
    better: 'higher',
    target: { 'cfssl serve, synced': '≥ 600/s, ≥ 1×', 'cfssl serve, unsynced': '≥ 600/s' },
  },
} as const satisfies Record<string, CaseFacts>;
export type IssuingCase = keyof typeof issuingCases;

const cfsslPeers: Readonly<Record<string, Synchronous>> = {
  'cfssl serve, synced': 'FULL',
  'cfssl serve, unsynced': 'NORMAL',
};

/** Each with a name and a key of its own. */
const csrs = Array.from({ length: batchSize }, (_, index) => {
  const name = `www-${index}.example.test`;
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return buildCsr({ key, subject: commonName(name), attributes: [extensionRequest(subjectAltName(dns(name)))] });
});

/** The CA app as a process of its own. */
export class IssuingBench {
  readonly #home = new CaHome({
    rateLimit: { requests: 1_000_000_000, seconds: 60 },
    certificateLimit: { certificates: 1_000_000_000, seconds: 60 },
  });
  #service: CaService | undefined;

  async start(): Promise<void> {
    this.#service = await CaService.start(this.#home);
    const load = batchLoad(this.#service);
    const connections = new HttpClients(load.url, 1);
    for (let issued = 0; issued < warmUpCertificates; issued += load.certificates)
      await connections.send(0, load.requests[0], load.status);
    connections.close();
  }

  contender(name: IssuingCase, seconds: number): Contender {
    return { name: 'nest-hsm', run: () => this.#run(name, seconds) };
  }

  async stop(): Promise<void> {
    await this.#service?.stop();
    this.#home.remove();
  }

  async #run(name: IssuingCase, seconds: number): Promise<Samples> {
    const service = this.#service;
    const pid = service?.process.pid;
    if (service === undefined || pid === undefined) throw new Error('bench: want the CA started');
    const load = name === 'issue-batch' ? batchLoad(service) : singleLoad(service);
    return { [name]: await measured([pid, ...childrenOf(pid)], load, seconds) };
  }
}

/** A peer of `issue-http-32`. */
export class CfsslBench {
  /** @returns none, and why is said, where it cannot be had */
  static async startAll(): Promise<CfsslBench[]> {
    const peers: CfsslBench[] = [];
    try {
      const program = provideCfssl(join(process.env.NEST_HSM_BENCH_PEERS ?? '', 'cfssl'));
      for (const [name, synchronous] of Object.entries(cfsslPeers))
        peers.push(new CfsslBench(name, await CfsslServer.start(program, synchronous)));
    } catch (error) {
      process.stderr.write(`  cfssl: left out, ${(error as Error).message.split('\n')[0]}\n`);
    }
    return peers;
  }

  private constructor(
    private readonly name: string,
    private readonly server: CfsslServer,
  ) {}

  contender(seconds: number): Contender {
    const { pid, url } = this.server;
    const headers = { 'content-type': 'application/json' };
    const requests = csrs.map((csr) => {
      const body = Buffer.from(JSON.stringify({ certificate_request: toPem(csr) }));
      return httpRequest('POST', '/api/v1/cfssl/sign', headers, body);
    });
    const load = { url, clients, requests, status: 200, certificates: 1 };
    const run = async (): Promise<Samples> => ({
      'issue-http-32': await measured(pid === undefined ? [] : [pid], load, seconds),
    });
    return { name: this.name, run };
  }

  async stop(): Promise<void> {
    await this.server.stop();
  }
}

interface Load {
  readonly url: string;
  readonly clients: number;
  /** Sent in turn. */
  readonly requests: readonly Buffer[];
  readonly status: number;
  /** How many each answer brings. */
  readonly certificates: number;
}

function singleLoad({ url, token }: CaService): Load {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/pkcs10' };
  const requests = csrs.map((csr) => httpRequest('POST', '/v1/certificates?profile=tls-server', headers, csr));
  return { url, clients, requests, status: 201, certificates: 1 };
}

function batchLoad({ url, token }: CaService): Load {
  const requests = csrs.map((csr) => ({ csr: toPem(csr) }));
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const body = Buffer.from(JSON.stringify({ profile: 'tls-server', requests }));
  const request = httpRequest('POST', '/v1/certificates/batch', headers, body);
  return { url, clients: batchesAtOnce, requests: [request], status: 200, certificates: batchSize };
}

async function measured(pids: readonly number[], load: Load, seconds: number): Promise<NonNullable<Samples[string]>> {
  const connections = new HttpClients(load.url, load.clients);
  const before = pids.map(cpuMicroseconds);
  let next = 0;
  const { calls, seconds: took } = await keepCalling(load.clients, seconds, async (client) => {
    const body = await connections.send(client, load.requests[next++ % load.requests.length], load.status);
    // A batch also holds the certificate of its issuer.
    const found = body.toString('latin1').split('BEGIN CERTIFICATE').length - 1;
    if (found < load.certificates) throw new Error(`bench: want ${load.certificates} certificates, got ${found}`);
  });
  connections.close();
  const cpu = pids.reduce((sum, pid, index) => sum + cpuMicroseconds(pid) - before[index], 0);
  const certificates = calls * load.certificates;
  return { value: certificates / took, cpuMicroseconds: cpu / certificates };
}
