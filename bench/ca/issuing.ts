import { CaHome, CaService } from '../../test/support/ca-service.js';
import { buildCsr, commonName, dns, extensionRequest, subjectAltName, toPem } from '../../test/support/csr.js';
import { keepCalling } from '../harness/callers.js';
import type { CaseFacts, Samples } from '../harness/contest.js';
import { cpuMicrosecondsByThread } from '../harness/process-cost.js';
import { IssuingClient } from './issuing-client.js';

const batchSize = 250;
const batchesAtOnce = 2;
const clients = 32;

/** Certificates of the CA app over HTTP, issued by an EC P-256 key in SoftHSM, stored in SQLite and audited, as they are by default. */
export const issuingCases = {
  'issue-batch': { unit: 'certificates/s', better: 'higher', target: '≥ 2000/s' },
  'issue-http-32': { unit: 'certificates/s', better: 'higher', target: '≥ 600/s' },
} as const satisfies Record<string, CaseFacts>;

/** The CA app as a process of its own. */
export class IssuingBench {
  readonly #home = new CaHome({
    rateLimit: { requests: 1_000_000_000, seconds: 60 },
    certificateLimit: { certificates: 1_000_000_000, seconds: 60 },
  });
  readonly #csr = buildCsr({
    subject: commonName('www.example.test'),
    attributes: [extensionRequest(subjectAltName(dns('www.example.test')))],
  });
  #service: CaService | undefined;

  async start(): Promise<void> {
    this.#service = await CaService.start(this.#home);
  }

  async run(name: keyof typeof issuingCases, seconds: number): Promise<Samples> {
    const service = this.#service;
    const pid = service?.process.pid;
    if (service === undefined || pid === undefined) throw new Error('bench: want the CA started');
    const client = new IssuingClient(service.url, service.token);
    const before = cpuMicroseconds(pid);
    const { certificates, took } = await this.#load(client, name, seconds);
    const cpu = (cpuMicroseconds(pid) - before) / certificates;
    client.close();
    return { [name]: { value: certificates / took, cpuMicroseconds: cpu } };
  }

  async stop(): Promise<void> {
    await this.#service?.stop();
    this.#home.remove();
  }

  async #load(
    client: IssuingClient,
    name: keyof typeof issuingCases,
    seconds: number,
  ): Promise<{ certificates: number; took: number }> {
    if (name === 'issue-http-32') {
      const { calls, seconds: took } = await keepCalling(clients, seconds, () => client.issue(this.#csr));
      return { certificates: calls, took };
    }
    const requests = Array.from({ length: batchSize }, () => ({ csr: toPem(this.#csr) }));
    const body = Buffer.from(JSON.stringify({ profile: 'tls-server', requests }));
    const { calls, seconds: took } = await keepCalling(batchesAtOnce, seconds, () =>
      client.issueBatch(body, batchSize),
    );
    return { certificates: calls * batchSize, took };
  }
}

function cpuMicroseconds(pid: number): number {
  return [...cpuMicrosecondsByThread(pid).values()].reduce((sum, each) => sum + each, 0);
}
