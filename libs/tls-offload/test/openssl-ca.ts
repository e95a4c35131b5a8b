import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAll } from './listen.js';

/** What a test may change about the next answers. */
export interface Behaviour {
  /** Answers with this status and problem document instead of a certificate. */
  refuse?: { readonly status: number; readonly problem: object };
  /** Answers with this instead of a chain. */
  body?: string;
  /** Extensions to write instead of those of the request. */
  extensions?: string;
  days?: number;
}

/** A CA in openssl's hands that answers as the nest-hsm CA does. */
export class OpensslCa {
  readonly directory = mkdtempSync(join(tmpdir(), 'nest-hsm-openssl-ca-'));
  readonly rootFile = join(this.directory, 'root.pem');
  readonly tokenFile = join(this.directory, 'token');
  /** What was asked, in order. */
  readonly requests: { readonly url: string; readonly headers: IncomingMessage['headers']; readonly csr: string }[] =
    [];
  behaviour: Behaviour = {};
  #server: Server;

  constructor() {
    writeFileSync(this.tokenFile, 'a set-up token\n');
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    const subject = ['-subj', '/CN=openssl root', '-days', '3650'];
    this.#openssl('req', '-x509', ...curve, '-keyout', this.#file('root.key'), '-out', this.rootFile, ...subject);
  }

  async listen(port = 0): Promise<void> {
    this.#server = createServer((request, response) => void this.#answer(request, response));
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const csr = (await readAll(request)).toString();
    this.requests.push({ url: request.url ?? '', headers: request.headers, csr });
    const { refuse, body } = this.behaviour;
    if (refuse !== undefined) {
      response
        .writeHead(refuse.status, { 'content-type': 'application/problem+json' })
        .end(JSON.stringify(refuse.problem));
      return;
    }
    response.writeHead(201, { 'content-type': 'application/pem-certificate-chain' });
    response.end(body ?? this.issue(csr));
  }

  issue(csr: string): string {
    const { extensions, days = 90 } = this.behaviour;
    writeFileSync(this.#file('csr'), csr);
    writeFileSync(this.#file('extensions'), extensions ?? 'basicConstraints=critical,CA:FALSE\n');
    // openssl verifies the request's own signature before it signs.
    const copied = extensions === undefined ? ['-copy_extensions', 'copy'] : [];
    const issuer = ['-CA', this.rootFile, '-CAkey', this.#file('root.key'), '-CAcreateserial', '-days', String(days)];
    const output = ['-extfile', this.#file('extensions'), '-out', this.#file('leaf.pem')];
    this.#openssl('x509', '-req', '-in', this.#file('csr'), ...issuer, ...copied, ...output);
    return readFileSync(this.#file('leaf.pem'), 'utf8');
  }

  #file(name: string): string {
    return join(this.directory, name);
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { stdio: 'pipe' });
  }
}
