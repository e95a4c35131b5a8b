import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Hsm } from '@nest-hsm/hsm';
import { VirtualHsm } from '../../test/chaos/virtual-hsm.js';
import { CaHome, CaService, run } from '../../test/support/ca-service.js';
import { buildCsr, toPem } from '../../test/support/csr.js';
import { keepCalling } from '../harness/callers.js';
import type { CaseFacts, Contender, Samples } from '../harness/contest.js';
import { cpuMicroseconds } from '../harness/process-cost.js';
import { HttpClients, httpRequest } from './http-connection.js';

/** Of the token, on both sides: so many signatures are made at once. */
const sessions = 8;
/** As many as the responder has under way at once, so that no session waits for what is done outside the token. */
const askersWithNonce = 2 * sessions;
const askers = 32;
const certificates = 64;
const responderLabel = 'issuing-ocsp';

/**
 * OCSP over HTTP from one process of the CA app. `ocsp-get`: the responses kept for everybody. `ocsp-uncached`: each request has
 * a nonce, so that each is signed; beside it what the same key signs for as many callers in a process that does nothing else,
 * with the same audit trail. In SoftHSM alone a signature takes processor time, which is shared with HTTP and with those who
 * ask; with `-2ms` and `-5ms` it takes that long besides, as on a device, so that one sees what else a response waits for.
 */
export const ocspCases = {
  'ocsp-get': { unit: 'responses/s', better: 'higher', target: '≥ 10000/s' },
  'ocsp-uncached': { unit: 'responses/s', better: 'higher', target: 'as the HSM signs' },
  'ocsp-uncached-2ms': { unit: 'responses/s', better: 'higher', target: '≥ 0.9×' },
  'ocsp-uncached-5ms': { unit: 'responses/s', better: 'higher', target: '≥ 0.9×' },
} as const satisfies Record<string, CaseFacts>;
export type OcspCase = keyof typeof ocspCases;

/** What the token takes for each signature on top of SoftHSM. */
const signMilliseconds: Readonly<Record<OcspCase, number>> = {
  'ocsp-get': 0,
  'ocsp-uncached': 0,
  'ocsp-uncached-2ms': 2,
  'ocsp-uncached-5ms': 5,
};

export class OcspBench {
  readonly #device = new VirtualHsm('bench-ocsp');
  readonly #home = new CaHome({
    hsm: this.#device.config({ sessions, audit: { directory: this.#file('audit') } }),
    ocsp: { presign: 'asked' },
    ocspLimit: { signatures: 1_000_000_000, seconds: 60 },
  });
  #service: CaService | undefined;
  #gets: readonly Buffer[] = [];
  #posts: readonly Buffer[] = [];

  /** Issues certificates, and has openssl write the requests for their status. */
  async start(): Promise<void> {
    const service = await CaService.start(this.#home);
    this.#service = service;
    const csr = toPem(buildCsr());
    const requests = Array.from({ length: certificates }, () => ({ csr }));
    const response = await fetch(`${service.url}/v1/certificates/batch`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ profile: 'tls-server', requests }),
    });
    const { results, chains } = (await response.json()) as Batch;
    const [[issuer]] = Object.values(chains);
    const issuerFile = this.#home.file('issuer.pem', issuer);
    const serials = results.map(({ certificate }) => certificate.serial);
    this.#gets = serials.map((serial) => {
      const request = this.#request(issuerFile, serial, '-no_nonce').toString('base64');
      return httpRequest('GET', `/v1/ocsp/${encodeURIComponent(request)}`);
    });
    this.#posts = serials.map((serial) => {
      const headers = { 'content-type': 'application/ocsp-request' };
      return httpRequest('POST', '/v1/ocsp', headers, this.#request(issuerFile, serial, '-nonce'));
    });
  }

  contender(name: OcspCase, seconds: number): Contender {
    return { name: 'nest-hsm', run: () => this.#run(name, seconds) };
  }

  /** The peer of `ocsp-uncached…`. Its agent is beside the app's, on the same token. */
  hsmAlone(name: OcspCase, seconds: number): Contender {
    const run = async (): Promise<Samples> => {
      this.#device.delay('C_Sign', signMilliseconds[name]);
      // As the CA's service has it: no intent waits for the disk before a responder's key is used.
      const audit = { directory: this.#file('audit-alone'), issuerKeys: ['*', '!*-ocsp'] };
      const hsm = await Hsm.open(this.#device.config({ sessions, audit, stateDirectory: this.#file('state-alone') }));
      const key = await hsm.findKey({ label: responderLabel });
      const data = Buffer.alloc(256, 1);
      const sign = (): Promise<Buffer> => hsm.sign(key, 'ecdsa-sha256', data);
      const { calls, seconds: took } = await keepCalling(askersWithNonce, seconds, sign);
      await hsm.close();
      return { [name]: { value: calls / took } };
    };
    return { name: 'Hsm.sign alone', run };
  }

  async stop(): Promise<void> {
    await this.#service?.stop();
    this.#home.remove();
    this.#device.remove();
  }

  async #run(name: OcspCase, seconds: number): Promise<Samples> {
    const service = this.#service;
    const pid = service?.process.pid;
    if (service === undefined || pid === undefined) throw new Error('bench: want the CA started');
    const [requests, count] = name === 'ocsp-get' ? [this.#gets, askers] : [this.#posts, askersWithNonce];
    this.#device.delay('C_Sign', signMilliseconds[name]);
    const clients = new HttpClients(service.url, count);
    const before = cpuMicroseconds(pid);
    let next = 0;
    const { calls, seconds: took } = await keepCalling(count, seconds, async (client) => {
      const body = await clients.send(client, requests[next++ % requests.length]);
      // Nothing that fails is as long as a signed response.
      if (body.length < 200) throw new Error(`bench: want a signed response, got ${body.toString('hex')}`);
    });
    clients.close();
    return { [name]: { value: calls / took, cpuMicroseconds: (cpuMicroseconds(pid) - before) / calls } };
  }

  #request(issuerFile: string, serial: string, nonce: '-nonce' | '-no_nonce'): Buffer {
    const file = this.#home.file('request.der');
    run('openssl', 'ocsp', '-issuer', issuerFile, '-serial', `0x${serial}`, nonce, '-reqout', file);
    return readFileSync(file);
  }

  #file(name: string): string {
    return join(this.#device.token.directory, name);
  }
}

interface Batch {
  readonly results: readonly { readonly certificate: { readonly serial: string } }[];
  readonly chains: Readonly<Record<string, readonly string[]>>;
}
