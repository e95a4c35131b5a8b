/** Connections to servers, and requests through the proxy to nginx that asks for certificates, while HSMs are killed and come back. */
import { readFileSync } from 'node:fs';
import { createServer as createHttpsServer, request, type Server } from 'node:https';
import { type AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import { Hsm } from '@nest-hsm/hsm';
import {
  Credential,
  HttpsAgent,
  L7Proxy,
  TlsConnector,
  type TlsOffloadError,
  TlsTerminator,
} from '@nest-hsm/tls-offload';
import { Nginx } from '../../bench/tls/nginx.js';
import { providePeers } from '../../bench/tls/peers.js';
import { makeCertificateRequest } from '../../libs/tls-offload/src/credential-source/certificate-request.js';
import { ClientPki } from '../../libs/tls-offload/test/client-pki.js';
import { credentialOf, makeIdentity } from '../../libs/tls-offload/test/identity.js';
import { readAll } from '../../libs/tls-offload/test/listen.js';
import { OpensslCa } from '../../libs/tls-offload/test/openssl-ca.js';
import { VirtualFleet } from '../chaos/virtual-fleet.js';
import { VirtualHsm } from '../chaos/virtual-hsm.js';
import { eventually } from '../support/eventually.js';

const clients = new OpensslCa();
const servers = new ClientPki();
const localhost = servers.client({
  extensions: 'extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n',
});
const front = makeIdentity('ec-p256');
const caFile = servers.rootFile;
let fleet: VirtualFleet;
let alone: VirtualHsm;
let two: Hsm;
let one: Hsm;
let server: Server;

beforeAll(async () => {
  clients.behaviour = { extensions: 'basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\n' };
  fleet = new VirtualFleet('tls', 2);
  alone = new VirtualHsm('tls-alone');
  [two, one] = await Promise.all([Hsm.open(fleet.config()), Hsm.open(alone.config({ hangMilliseconds: 500 }))]);
  const asking = { requestCert: true, ca: readFileSync(clients.rootFile) };
  server = createHttpsServer({ key: localhost.key, cert: localhost.cert, ...asking }, ({ socket }, response) => {
    const { subject } = (socket as TLSSocket).getPeerCertificate() as Partial<PeerCertificate>;
    response.setHeader('connection', 'close').end(String(subject?.CN));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  server.close();
  alone.thaw();
  await Promise.all([two.close(), one.close()]);
  fleet.remove();
  alone.remove();
  clients.remove();
  servers.remove();
});

async function credentialFrom(hsm: Hsm, label: string, algorithm: 'ec-p256' | 'rsa-2048'): Promise<Credential> {
  const key = await hsm.generateKeyPair({ label, algorithm });
  const names = { dnsNames: [label], ipAddresses: [] };
  return Credential.fromPem(clients.issue(await makeCertificateRequest(hsm, key, names)), key, hsm);
}

/** One request on a connection of its own. @returns its body, or its status where it was not good */
function ask(port: number, options: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', servername: 'localhost', port, agent: false, ...options });
    asked.once('error', reject);
    asked.once('response', (response) => {
      const { statusCode = 0 } = response;
      readAll(response).then(
        (body) => resolve(statusCode === 200 ? String(body).trim() : `${statusCode} ${String(body)}`),
        reject,
      );
    });
    asked.end();
  });
}

it.each(['ec-p256', 'rsa-2048'] as const)('a member killed while it signs costs requests time and nothing else (%s)', async (algorithm) => {
  const label = `fleet-${algorithm}`;
  const connector = new TlsConnector({ caFile, credentials: [await credentialFrom(two, label, algorithm)] });
  const agent = new HttpsAgent(connector, { keepAlive: false });
  const { port } = server.address() as AddressInfo;
  const all = () => Promise.all(Array.from({ length: 8 }, () => ask(port, { agent })));
  const [first] = fleet.devices;
  await eventually(() => two.members.every(({ state }) => state === 'serving'));
  for (const device of fleet.devices) device.delay('C_Sign', 300);
  const waiting = all();
  await eventually(() => connector.statistics.signatures[label].pending === 8);
  for (const pid of first.agents) process.kill(pid, 'SIGKILL');
  expect(await waiting).toEqual(Array(8).fill(label));
  for (const device of fleet.devices) device.delay('C_Sign', 0);
  first.freeze('C_Sign');
  expect(await all()).toEqual(Array(8).fill(label));
  first.unstrike('C_Sign');
  expect(connector.statistics).toMatchObject({ completed: { 'TLSv1.3': 16 }, failed: {} });
  await connector.close();
}); // prettier-ignore

it('an HSM that is alone and away is a typed error, and no reason to make the connector anew', async () => {
  const credentials = [await credentialFrom(one, 'alone', 'ec-p256')];
  const connector = new TlsConnector({ caFile, credentials, handshakeTimeoutMilliseconds: 3_000 });
  const agent = new HttpsAgent(connector, { keepAlive: false });
  const { port } = server.address() as AddressInfo;
  const outcome = (): Promise<string> => ask(port, { agent }).catch(({ code }: TlsOffloadError) => code);
  expect(await outcome()).toBe('alone');
  alone.powerOff();
  expect(await outcome()).toMatch(/^ERR_TLS_OFFLOAD_SIGNATURE_(FAILED|TIMEOUT)$/);
  alone.powerOn();
  await eventually(async () => (await outcome()) === 'alone');
  alone.freeze();
  const frozen = outcome();
  await eventually(() => connector.statistics.signatures.alone.pending > 0);
  alone.thaw();
  expect(await frozen).toMatch(/^(alone|ERR_TLS_OFFLOAD_SIGNATURE_(FAILED|TIMEOUT))$/);
  await eventually(async () => (await outcome()) === 'alone');
  await connector.close();
});

const { nginx: binary, absent } = providePeers(resolve(process.env.NEST_HSM_BENCH_PEERS ?? 'var/bench/peers'));
const testWithNginx = binary === undefined ? it.skip : it;
const how = binary === undefined ? ` (${absent.join('; ')})` : '';

testWithNginx(`nginx verifies the proxy as its client, whichever of two HSMs is killed${how}`, async () => {
  if (binary === undefined) return;
  const key = localhost.file.replace(/pem$/, 'key');
  const nginx = await Nginx.start(binary, {
    workers: 1,
    // Each request is a connection of its own, so each is a signature.
    block: (port) => `http {
      access_log off; keepalive_timeout 0; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
      uwsgi_temp_path uwsgi; scgi_temp_path scgi;
      server {
        listen 127.0.0.1:${port} ssl; ssl_certificate ${localhost.file}; ssl_certificate_key ${key};
        ssl_protocols TLSv1.2 TLSv1.3; ssl_verify_client on; ssl_client_certificate ${clients.rootFile};
        location / { return 200 "$ssl_client_verify $ssl_client_s_dn $ssl_protocol"; }
      } }`,
  });
  const proxyTo = async (hsm: Hsm, label: string, config: object = {}) => {
    const upstreamCredentials = [await credentialFrom(hsm, label, 'ec-p256')];
    const terminator = new TlsTerminator({ credentials: [credentialOf(front)] });
    const upstreams = [{ url: `https://127.0.0.1:${nginx.port}` }];
    const settings = { upstreams, upstreamTls: { caFile }, healthCheck: { path: '/', intervalMilliseconds: 200 } };
    const proxy = new L7Proxy(terminator, { ...settings, ...config }, { upstreamCredentials });
    const { port } = await proxy.listen(0, '127.0.0.1');
    return { proxy, ask: () => ask(port, { ca: front.certificatePem, headers: { host: 'localhost' } }) };
  };
  const [pair, single] = [
    await proxyTo(two, 'nginx-pair'),
    await proxyTo(one, 'nginx-single', { connectTimeoutMilliseconds: 2_000 }),
  ];
  try {
    const good = /^SUCCESS CN=nginx-(pair|single) TLSv1\.3$/;
    expect(await pair.ask()).toMatch(good);
    expect(await single.ask()).toMatch(good);

    for (const device of fleet.devices) {
      device.powerOff();
      for (let count = 0; count < 20; count++) expect(await pair.ask()).toMatch(good);
      device.powerOn();
      await eventually(() => two.members.every(({ state }) => state === 'serving'));
    }
    expect(pair.proxy.statistics).toMatchObject({ failed: {}, answered: { 200: 41 } });

    alone.powerOff();
    expect(await single.ask()).toMatch(/^503 .*ERR_TLS_OFFLOAD_SIGNATURE_/);
    expect(single.proxy.statistics.upstreams).toMatchObject([{ state: 'serving', failures: 0 }]);
    alone.powerOn();
    await eventually(async () => good.test(await single.ask()));
  } finally {
    await Promise.all([pair.proxy.close(0), single.proxy.close(0)]);
    await nginx.stop();
  }
});
