/** A sidecar whose upstreams ask for a certificate: its key is on the token as those that clients meet. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { Hsm, type HsmKey } from '@nest-hsm/hsm';
import { stringify } from 'yaml';
import { makeCertificateRequest } from '../../libs/tls-offload/src/credential-source/certificate-request.js';
import { ClientPki } from '../../libs/tls-offload/test/client-pki.js';
import { OpensslCa } from '../../libs/tls-offload/test/openssl-ca.js';
import { Application } from '../support/application.js';
import { eventually } from '../support/eventually.js';
import { TestToken } from '../support/token.js';

const run = promisify(execFile);
const token = new TestToken('tls');
const ca = new OpensslCa();
const upstreams = new ClientPki();
const adminSocket = join(token.directory, 'admin.sock');
const file = join(token.directory, 'sidecar.yaml');
const purposes = { server: 'serverAuth\nsubjectAltName=DNS:localhost', client: 'clientAuth' };
/** Names of clients in the order of their requests. */
const seen: string[] = [];
let upstream: Server;
let hsm: Hsm;
let sidecar: Application;

beforeAll(async () => {
  hsm = await Hsm.open(token.config());
  const own = upstreams.client({ extensions: 'extendedKeyUsage=serverAuth\nsubjectAltName=DNS:upstream.internal\n' });
  const asking = { requestCert: true, rejectUnauthorized: false, ca: readFileSync(ca.rootFile) };
  upstream = createServer({ key: own.key, cert: own.cert, ...asking }, ({ socket, url }, response) => {
    const { authorized } = socket as TLSSocket;
    const { subject } = (socket as TLSSocket).getPeerCertificate() as Partial<PeerCertificate>;
    if (url === '/health') response.statusCode = authorized ? 204 : 403;
    else seen.push(`${authorized ? '' : 'un'}authorized ${String(subject?.CN)}`);
    response.end(seen.at(-1));
  });
  upstream.keepAliveTimeout = 120_000;
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  await sidecar.stop();
  upstream.closeAllConnections();
  upstream.close();
  await hsm.close();
  upstreams.remove();
  ca.remove();
  token.remove();
});

async function issue(key: HsmKey, name: string, purpose: keyof typeof purposes): Promise<void> {
  ca.behaviour = { extensions: `basicConstraints=critical,CA:FALSE\nextendedKeyUsage=${purposes[purpose]}\n` };
  const request = await makeCertificateRequest(hsm, key, { dnsNames: [name], ipAddresses: [] });
  writeFileSync(join(token.directory, `${key.label}.pem`), ca.issue(request));
}

const certificate = (keyLabel: string): object => ({
  file: { certificateFile: join(token.directory, `${keyLabel}.pem`), keyLabel },
});

function configure(certificates: readonly string[], shown: readonly string[], more: object = {}): void {
  const { port } = upstream.address() as AddressInfo;
  const upstreamTls = { caFile: upstreams.rootFile, serverName: 'upstream.internal', certificates: shown };
  const l7 = {
    upstreams: [{ url: `https://127.0.0.1:${port}` }],
    upstreamTls,
    healthCheck: { path: '/health', intervalMilliseconds: 50 },
    requireMatchingHost: false,
    ...more,
  };
  writeFileSync(
    file,
    stringify({
      hsm: token.config(),
      listeners: [{ name: 'web', listen: { port: 0 }, l7 }],
      certificates: certificates.map(certificate),
      admin: { port: 0 },
      adminSocket,
      drainSeconds: 0,
      accessLog: {},
    }),
  );
}

async function reload(): Promise<{ status?: number; body: string }> {
  const request = requestHttp({ socketPath: adminSocket, method: 'POST', path: '/reload' });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let body = '';
  for await (const chunk of response) body += String(chunk);
  return { status: response.statusCode, body };
}

const said = (pattern: RegExp): string => pattern.exec(sidecar.output)?.[1] ?? '';
async function ask(): Promise<string> {
  const url = `https://localhost:${said(/TLS on 127\.0\.0\.1:(\d+)/)}/`;
  return (await run('curl', ['--silent', '--show-error', '--cacert', ca.rootFile, url])).stdout;
}
const monitoring = async (path: string): Promise<string> =>
  (await fetch(`${said(/admin on (http:\/\/[\d.:]+)/)}${path}`)).text();

it('shows them the certificate that it is told, keeps it fresh, and changes it by a reload or not at all', async () => {
  const web = await hsm.generateKeyPair({ label: 'web', algorithm: 'ec-p256' });
  const client = await hsm.generateKeyPair({ label: 'client', algorithm: 'ec-p256' });
  const other = await hsm.generateKeyPair({ label: 'other', algorithm: 'rsa-2048' });
  await issue(web, 'localhost', 'server');
  await issue(client, 'alice', 'client');
  await issue(other, 'bob', 'client');
  configure(['web', 'client'], ['client']);
  sidecar = new Application('tls-sidecar', file);
  await sidecar.says(/TLS on/);
  expect([await ask(), await ask()]).toEqual(['authorized alice', 'authorized alice']);

  // What clients meet, and what upstreams do, are kept apart.
  const metrics = await monitoring('/metrics');
  expect(metrics).toMatch(
    /nest_hsm_tls_upstream_handshakes_total{listener="web",protocol="TLSv1.3",.*result="OK"} [1-9]/,
  );
  expect(metrics).toContain('nest_hsm_tls_signature_wait_seconds_count{key="client",result="signed"}');
  expect(metrics).toMatch(/nest_hsm_tls_certificate_expiry_seconds{certificate="client"} \d{7}/);
  expect(await monitoring('/health')).toContain('"client":{"notAfter"');

  // Renewed under its keeper: the next request is made with it, though a connection was open.
  await issue(client, 'alice renewed', 'client');
  // Has it looked for now.
  await reload();
  await sidecar.says(/client: replaced, serves until/);
  await eventually(async () => (await ask()) === 'authorized alice renewed');
  // One that is not for clients: what was shown is shown on, and said so.
  await issue(client, 'alice as a server', 'server');
  await reload();
  await eventually(async () => (await monitoring('/metrics')).includes('certificate_failing{certificate="client"} 1'));
  expect(await ask()).toBe('authorized alice renewed');
  await issue(client, 'alice', 'client');

  // A reload to one that cannot be shown, beside a change that could be made: nothing changes.
  configure(['web', 'client'], ['web'], { ejectAfter: 7 });
  expect(await reload()).toMatchObject({ status: 422, body: expect.stringContaining('ERR_') });
  configure(['web', 'client', 'missing'], ['missing']);
  expect((await reload()).status).toBe(422);
  await eventually(async () => (await ask()) === 'authorized alice');
  // Both kinds of key, of which the upstream verifies either.
  configure(['web', 'client', 'other'], ['client', 'other']);
  expect(await reload()).toMatchObject({ status: 200 });
  expect(await ask()).toBe('authorized alice');
  configure(['web', 'other'], ['other']);
  expect(await reload()).toMatchObject({ status: 200 });
  expect(await ask()).toBe('authorized bob');
  expect(seen.filter((each) => each.startsWith('unauthorized'))).toEqual([]);

  // Shown to nobody, it would be served to clients, which it is not for.
  configure(['web', 'client'], []);
  expect(await reload()).toMatchObject({ status: 422, body: expect.stringContaining('want a client to take it') });
  expect(await ask()).toBe('authorized bob');
});
