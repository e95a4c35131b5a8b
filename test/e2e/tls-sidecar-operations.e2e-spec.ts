/** What operators do with a sidecar that serves: reload, look, drain; workers; sockets of the service manager. */
import { type ChildProcess, execFile, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, request as requestHttp, type Server } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { ClientPki } from '../../libs/tls-offload/test/client-pki.js';
import { connectTls } from '../../libs/tls-offload/test/listen.js';
import { OpensslCa } from '../../libs/tls-offload/test/openssl-ca.js';
import { Application } from '../support/application.js';
import { eventually } from '../support/eventually.js';
import { childrenOf, exists } from '../support/processes.js';
import { TestToken } from '../support/token.js';

const run = promisify(execFile);
const httpUpstream = fileURLToPath(new URL('../support/http-upstream.mjs', import.meta.url));
const main = fileURLToPath(new URL('../../dist/apps/tls-sidecar/main.js', import.meta.url));

const token = new TestToken('tls');
const ca = new OpensslCa();
const adminSocket = join(token.directory, 'admin.sock');
const file = join(token.directory, 'sidecar.yaml');
let upstream: Server;
let sidecar: Application | undefined;

beforeAll(async () => {
  await ca.listen();
  upstream = createHttpServer((request, response) => response.end(`upstream got ${request.url}`));
  upstream.keepAliveTimeout = 120_000;
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  if (sidecar?.process.exitCode === null && sidecar.process.signalCode === null) await sidecar.stop();
});
afterAll(async () => {
  upstream.closeAllConnections();
  upstream.close();
  await ca.stop();
  ca.remove();
  token.remove();
});

const said = () => sidecar?.output;
const upstreamPort = (): number => (upstream.address() as AddressInfo).port;
const l4 = (listen: object, more: object = {}): object => ({
  listen,
  l4: { upstream: { host: '127.0.0.1', port: upstreamPort() } },
  ...more,
});
const certificate = (keyLabel: string, more: object = {}, name = 'localhost', keyAlgorithm = 'ec-p256'): object => ({
  ca: {
    url: ca.url,
    tokenFile: ca.tokenFile,
    dnsNames: [name],
    keyLabel,
    keyAlgorithm,
    certificateFile: join(token.directory, `${keyLabel}.pem`),
  },
  ...more,
});

function configure(document: object, to = file): void {
  const basics = { hsm: token.config(), admin: { port: 0 }, adminSocket, drainSeconds: 20 };
  writeFileSync(to, stringify({ ...basics, ...document }));
}

function start(document: object): Application {
  configure(document);
  return (sidecar = new Application('tls-sidecar', file));
}

/** The ports that it says it listens on, by the names of listeners. */
async function port(name: string, of = sidecar): Promise<number> {
  const line = new RegExp(`TLS on 127\\.0\\.0\\.1:(\\d+) \\(${name}\\)`);
  await of?.says(line);
  return Number(line.exec(of?.output ?? '')?.[1]);
}

async function admin(method: string, path: string): Promise<{ status?: number; body: Record<string, never> }> {
  const request = requestHttp({ socketPath: adminSocket, method, path });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode, body: JSON.parse(text) as Record<string, never> };
}

async function monitoring(path: string, of = sidecar): Promise<{ status: number; text: string }> {
  const base = /admin on (http:\/\/[\d.:]+)/;
  await of?.says(base);
  const response = await fetch(`${base.exec(of?.output ?? '')?.[1]}${path}`);
  return { status: response.status, text: await response.text() };
}

const tls = (to: number, servername = 'localhost', more: object = {}) =>
  connectTls({ port: to, servername, ca: readFileSync(ca.rootFile), ...more });

/** A client that leaves once it has its answer, so that both sides have come to the end of the handshake. */
async function greet(to: number): Promise<void> {
  const socket = await tls(to);
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await once(socket, 'data');
  socket.destroy();
}

test('a reload is applied whole, under open connections, or not at all', async () => {
  start({ listeners: [l4({ port: 0 }, { name: 'first' })], certificates: [certificate('first')] });
  const first = await port('first');
  expect(statSync(adminSocket).mode & 0o777).toBe(0o600);
  expect((await monitoring('/ready')).status).toBe(200);
  const open = await tls(first);
  const request = async (socket: typeof open): Promise<string> => {
    socket.write('GET /open HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    return answer.toString();
  };
  expect(await request(open)).toContain('upstream got /open');

  // A taken port, beside changes that could be made: none of them is.
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  taken.unref();
  const fast = { idleTimeoutMilliseconds: 60_000, upstream: { host: '127.0.0.1', port: upstreamPort() } };
  const wanted = {
    listeners: [
      { ...l4({ port: 0 }, { name: 'first' }), l4: fast },
      {
        name: 'second',
        listen: { port: (taken.address() as AddressInfo).port },
        l7: { upstreams: [{ url: `http://127.0.0.1:${upstreamPort()}` }] },
      },
    ],
    certificates: [
      certificate('first'),
      certificate('rsa', {}, 'localhost', 'rsa-2048'),
      certificate('named', { serverNames: ['named.example'] }, 'named.example'),
    ],
    drainSeconds: 21,
    workers: 2,
  };
  configure(wanted);
  expect(await admin('POST', '/reload')).toMatchObject({ status: 422, body: { code: 'ERR_SIDECAR_LISTEN' } });
  const unnamed = await tls(first, 'named.example', { checkServerIdentity: () => undefined });
  expect(unnamed.getPeerCertificate().subject.CN).toBe('localhost');
  unnamed.destroy();
  await new Promise((resolve) => taken.close(resolve));
  writeFileSync(file, readFileSync(file, 'utf8').replace('listeners:', 'listenrs:'));
  sidecar?.process.kill('SIGHUP');
  await sidecar?.says(/not reloaded, everything stays as it was: .*sidecar\.yaml:\d+:\d+: listenrs: want a field/s);

  configure(wanted);
  const answer = await admin('POST', '/reload');
  expect(answer.status).toBe(200);
  expect(answer.body).toEqual({
    changed: expect.arrayContaining(['listeners', 'certificates', 'drainSeconds', 'workers']),
    awaitingRestart: ['workers'],
  });
  const named = await tls(first, 'named.example');
  expect(named.getPeerCertificate().subject.CN).toBe('named.example');
  const rsa = await tls(first, 'localhost', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' });
  expect((await request(rsa)).split('\r\n')[0]).toBe('HTTP/1.1 200 OK');
  for (const each of [named, rsa]) each.destroy();
  // As before the reload, on the same connection.
  expect(await request(open)).toContain('upstream got /open');

  const { body } = await admin('GET', '/status');
  expect(body).toMatchObject({
    state: 'serving',
    certificates: { named: { failures: 0 }, rsa: {}, first: {} },
    listeners: { first: { open: 1 }, second: { open: 0 } },
    members: [{ state: 'serving' }],
  });

  // What ends says so: GOAWAY to clients of HTTP/2, and not ready, while a connection goes on.
  const h2 = connectHttp2(`https://localhost:${await port('second')}`, { ca: readFileSync(ca.rootFile) });
  const exchange = h2.request({ ':path': '/h2' });
  let text = '';
  exchange.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await once(exchange, 'end');
  expect(text).toBe('upstream got /h2');
  const goaway = once(h2, 'goaway');
  expect((await admin('POST', '/drain')).status).toBe(202);
  await goaway;
  await eventually(async () => (await monitoring('/ready')).status === 503, said);
  await expect(tls(first)).rejects.toThrow(/ECONNREFUSED/);
  expect(await request(open)).toContain('upstream got /open');
  open.destroy();
  await once(sidecar!.process, 'exit');
  expect(sidecar?.output).not.toContain(token.pin);
});

test('workers share the port, are counted as one, and are replaced when they die', async () => {
  start({
    listeners: [l4({ port: 0 }, { name: 'shared' })],
    certificates: [certificate('first')],
    workers: 2,
    accessLog: {},
  });
  await sidecar?.says(/2 workers serve/);
  const shared = await port('shared');
  const asked = ca.requests.length;
  await Promise.all(Array.from({ length: 8 }, () => greet(shared)));
  const handshakes = async (): Promise<number> => {
    const { text } = await monitoring('/metrics');
    return [...text.matchAll(/handshakes_total{.*result="OK"} (\d+)/g)].reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    );
  };
  await eventually(async () => (await handshakes()) === 8, said);
  await sidecar?.says(/"listener":"shared","address":"127.0.0.1".*"code":"[A-Z_]+".*"msg":"connection"/);

  const workers = childrenOf(sidecar!.process.pid!);
  expect(workers).toHaveLength(2);
  process.kill(workers[0], 'SIGKILL');
  await sidecar?.says(/worker \d+ ended \(SIGKILL\); another one starts in 250 ms/);
  // Nobody is turned away meanwhile, and no total falls.
  for (let count = 0; count < 4; count++) await greet(shared);
  await eventually(async () => childrenOf(sidecar!.process.pid!).length === 2 && (await handshakes()) === 12, said);
  expect((await monitoring('/metrics')).text).toContain('nest_hsm_tls_worker_restarts_total 1');
  expect((await monitoring('/health')).status).toBe(200);
  await eventually(async () => (await monitoring('/metrics')).text.includes('nest_hsm_tls_workers 2'), said);

  configure({ listeners: [l4({ port: 0 }, { name: 'renamed' })], certificates: [certificate('first')], workers: 2 });
  sidecar?.process.kill('SIGHUP');
  await eventually(() => (sidecar!.output.match(/TLS on .* \(renamed\)/g) ?? []).length === 2, said);
  (await tls(shared)).destroy();
  expect(ca.requests).toHaveLength(asked);

  const last = childrenOf(sidecar!.process.pid!);
  expect(await sidecar?.stop()).toBe('SIGTERM');
  expect(last.filter(exists)).toEqual([]);
});

test('a session is resumed by another sidecar without a signature, and only while clients meet the same rules', async () => {
  const pki = new ClientPki();
  const sessionTickets = { keyLabel: 'tickets', directory: join(token.directory, 'tickets') };
  const listening = (tls: object = {}): object => ({
    listeners: [l4({ port: 0 }, { name: 'resumed', tls })],
    certificates: [certificate('first')],
    adminSocket: undefined,
    sessionTickets,
  });
  const otherFile = join(token.directory, 'other.yaml');
  configure(listening(), otherFile);
  start(listening());
  const first = await port('resumed');
  const other = new Application('tls-sidecar', otherFile);
  try {
    const second = await port('resumed', other);
    const session = join(token.directory, 'session.pem');
    const fresh = await openssl(first, '-sess_out', session);
    expect(fresh).toMatch(/^New, TLSv1\.3/m);
    const resumed = async (...more: string[]) =>
      /^Reused, TLSv1\.3/m.test(await openssl(second, '-sess_in', session, ...more));
    expect(await resumed()).toBe(true);
    expect(fresh).not.toMatch(/Max Early Data: [1-9]/);
    expect(await resumed('-servername', 'other.example')).toBe(false);
    expect(await resumed('-tls1_2')).toBe(false);
    const { text } = await monitoring('/metrics', other);
    expect(text).toContain('nest_hsm_tls_handshakes_resumed_total{listener="resumed"} 1');
    expect(text).toMatch(/nest_hsm_tls_session_ticket_keys [12]\n/);
    expect(text).toContain('nest_hsm_tls_session_tickets_issuing 1');
    expect(text).toContain('signature_wait_seconds_count{key="first",result="signed"} 2');

    // From here on clients may show a certificate: whoever was let in without being asked is asked.
    const crl = pki.write('crl.pem', pki.crl());
    configure(
      listening({
        clientCertificates: {
          mode: 'optional',
          caFile: pki.rootFile,
          crlFiles: [crl],
          reloadIntervalMilliseconds: 100,
        },
      }),
      otherFile,
    );
    other.process.kill('SIGHUP');
    await other.says(/configuration read again: .*changed: listeners/);
    expect(await resumed()).toBe(false);
    const after = await monitoring('/metrics', other);
    const left = /client_crl_expiry_seconds{listener="resumed",issuer="\/CN=client root"} (\d+)/.exec(after.text)?.[1];
    expect(Number(left)).toBeGreaterThan(4 * 86_400);
    // As before, what the addresses that are gone have counted included.
    expect(after.text).toContain('nest_hsm_tls_handshakes_resumed_total{listener="resumed"} 1');

    // A directory that cannot be used: nothing changes.
    configure({ ...listening(), sessionTickets: { ...sessionTickets, directory: `${file}/tickets` } }, otherFile);
    other.process.kill('SIGHUP');
    await other.says(
      /not reloaded, everything stays as it was: ERR_TLS_OFFLOAD_TICKET_KEYS: session tickets: want keys from store and HSM/,
    );
    pki.write('crl.pem', pki.crl('root', '-crlsec', '1'));
    await eventually(async () => {
      const { status, text: health } = await monitoring('/health', other);
      return status === 503 && health.includes('"error":{"clientCrls":{"ended":[{"listener":"resumed"');
    });
  } finally {
    await other.stop();
    pki.remove();
  }
});

/** One request with openssl, to the end that the upstream makes. @returns what it says of the connection */
async function openssl(to: number, ...options: string[]): Promise<string> {
  const connection = ['-connect', `127.0.0.1:${to}`, '-servername', 'localhost', '-CAfile', ca.rootFile, '-ign_eof'];
  const running = run('openssl', ['s_client', ...connection, ...options]);
  running.child.stdin?.end('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  return (await running).stdout;
}

test('requests and WebSockets reach two upstream processes, and the one that is left', async () => {
  const pki = new ClientPki();
  const children: ChildProcess[] = [];
  const upstreams = await Promise.all(
    ['one', 'two'].map(async (name) => {
      const child = fork(httpUpstream, [name], { execArgv: [] });
      children.push(child);
      const [to] = (await once(child, 'message')) as [number];
      return { url: `http://127.0.0.1:${to}` };
    }),
  );
  try {
    start({
      listeners: [
        {
          listen: { port: 0 },
          name: 'web',
          tls: { clientCertificates: { mode: 'optional', caFile: pki.rootFile } },
          l7: { upstreams, healthCheck: { path: '/', intervalMilliseconds: 200 } },
        },
      ],
      certificates: [certificate('first')],
      accessLog: {},
    });
    const web = await port('web');
    const alice = pki.client();
    const curl = async (...options: string[]): Promise<Asked> => {
      const { stdout } = await run('curl', ['-sS', '--fail', '--cacert', ca.rootFile, ...options]);
      return JSON.parse(stdout) as Asked;
    };
    const url = `https://localhost:${web}`;
    const shown = ['--cert', alice.file, '--key', alice.file.replace(/pem$/, 'key')];
    const posted = await curl(...shown, '--data', 'a body', '-H', 'Client-Cert: :Zm9yZ2Vk:', `${url}/path?query`);
    expect(posted).toMatchObject({ method: 'POST', url: '/path?query', body: 'a body' });
    const [, base64] = /^-----BEGIN CERTIFICATE-----([^-]+)/m.exec(alice.cert) ?? [];
    expect(posted.headers['client-cert']).toBe(`:${base64.replaceAll('\n', '')}:`);
    const unknown = await curl('--http2', '-H', 'Client-Cert: :Zm9yZ2Vk:', '-H', 'X-Forwarded-For: 10.9.9.9', url);
    expect(unknown.headers['client-cert']).toBeUndefined();
    expect(unknown.headers).toMatchObject({ 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'https' });
    // In turn, while both have nothing to do.
    expect(new Set([posted.name, unknown.name])).toEqual(new Set(['one', 'two']));

    const session = connectHttp2(url, { ca: readFileSync(ca.rootFile) });
    const stream = session.request({ ':path': '/trailers', te: 'trailers' });
    stream.resume();
    const [trailers] = (await once(stream, 'trailers')) as [Record<string, string>];
    expect(trailers['x-end']).toMatch(/^of (one|two)$/);
    session.destroy();

    const socket = await tls(web, 'localhost', { ALPNProtocols: ['http/1.1'] });
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13';
    const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
    socket.write(`GET /socket HTTP/1.1\r\nHost: localhost\r\n${upgrade}\r\n${key}\r\n\r\n`);
    const [accepted] = (await once(socket, 'data')) as [Buffer];
    expect(accepted.toString()).toMatch(/^HTTP\/1\.1 101 [^]*sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i);
    socket.write('said');
    expect(String((await once(socket, 'data'))[0])).toBe('said');
    socket.destroy();

    children[0].kill('SIGKILL');
    await once(children[0], 'exit');
    // Its connections that were kept are found dead, or another one is not to be had: the other upstream is asked.
    const names: string[] = [];
    for (let count = 0; count < 6; count++) names.push((await curl('--retry', '2', `${url}/after`)).name);
    expect(new Set(names)).toEqual(new Set(['two']));
    await sidecar?.says(/upstream http:[^ ]+: unhealthy: upstream: want an answer, got .*ECONN/);
    await sidecar?.says(/"method":"POST".*"requestBytes":6,.*"path":"\/path","code":"OK"/);
    const { text } = await monitoring('/metrics');
    expect(text).toMatch(/nest_hsm_tls_requests_total{listener="web",status="101"} 1/);
    const sent = /nest_hsm_tls_bytes_total{listener="web",from="client"} (\d+)/.exec(text)?.[1];
    expect(Number(sent)).toBe('a body'.length + 'said'.length);
    for (const [index, isServing] of [0, 1].entries()) {
      expect(text).toContain(`upstream_serving{listener="web",upstream="${upstreams[index].url}"} ${isServing}\n`);
    }
    const { status, text: health } = await monitoring('/health');
    expect(status).toBe(200);
    expect(JSON.parse(health)).toMatchObject({
      status: 'degraded',
      details: { upstreams: { leftAlone: [{ listener: 'web', url: upstreams[0].url, state: 'unhealthy' }] } },
    });
  } finally {
    for (const child of children) child.kill('SIGKILL');
    pki.remove();
  }
});

/** What an upstream process answers. */
interface Asked {
  readonly name: string;
  readonly headers: Readonly<Record<string, string>>;
}

test('a socket of the service manager is served, and a file is checked without serving', async () => {
  configure({ listeners: [l4({ activated: 'https' }, { name: 'activated' })], certificates: [certificate('first')] });
  const { stdout } = await run(process.execPath, [main, '--config', file, '--check']);
  expect(stdout).toBe(`${file}: no faults\n`);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: activated } = server.address() as AddressInfo;
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  // As systemd does it: the variables, the descriptor as number 3, and exec, so that the process id is the one that is named.
  const script = 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=https exec "$0" "$@"';
  const child = spawn('sh', ['-c', script, process.execPath, main, '--config', file], {
    stdio: ['ignore', 'pipe', 'inherit', fd],
  });
  try {
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await eventually(
      () => output.includes('TLS on'),
      () => output,
    );
    server.close();
    (await tls(activated)).destroy();
  } finally {
    server.close();
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
});
