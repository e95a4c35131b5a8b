import { createServer, type RequestListener } from 'node:http';
import { Agent as NodeAgent, createServer as createHttpsServer, request, type RequestOptions } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { connect as connectHttp2, createSecureServer } from 'node:http2';
import { Agent as UndiciAgent, fetch } from 'undici';
import { Curl } from '../../test/curl.js';
import { credentialOf, makeIdentity, softwareSigner } from '../../test/identity.js';
import { deferred, eventually, readAll } from '../../test/listen.js';
import { loadAddon } from '../addon.js';
import { TlsConnector } from './connector.js';
import { HttpsAgent } from './https-agent.js';
import { undiciConnector } from './undici-connector.js';

const server = makeIdentity('ec-p256', ['localhost', '127.0.0.1']);
const alice = makeIdentity('ec-p256', ['alice']);
const bob = makeIdentity('ec-p256', ['bob']);
const files = new Curl('');
const caFile = files.file('ca.pem', server.certificatePem);
const signer = softwareSigner(alice);
const connector = new TlsConnector({ caFile, credentials: [credentialOf(alice, signer)] });
const agent = new HttpsAgent(connector);
const own = {
  key: server.privateKey.export({ format: 'pem', type: 'pkcs8' }),
  cert: server.certificatePem,
  ca: [alice.certificatePem, bob.certificatePem],
};
let handler: RequestListener = (asked, response) => void asked.pipe(response);
const sockets: Socket[] = [];
const https = createHttpsServer({ ...own, requestCert: true, keepAliveTimeout: 0 }, (asked, answer) =>
  handler(asked, answer),
);
https.on('secureConnection', (socket) => sockets.push(socket));
const commonName = (socket: unknown): string => String((socket as TLSSocket).getPeerCertificate().subject.CN);
const http2 = createSecureServer({ ...own, requestCert: true, allowHTTP1: true }, (asked, answer) => {
  answer.end(`${asked.httpVersion} ${commonName(asked.socket)}`);
});
let port = 0;

beforeAll(async () => {
  await Promise.all([https, http2].map((each) => new Promise<void>((resolve) => each.listen(0, '127.0.0.1', resolve))));
  ({ port } = https.address() as AddressInfo);
});
beforeEach(() => {
  handler = (asked, response) => void asked.pipe(response);
});
afterAll(async () => {
  agent.destroy();
  await connector.close();
  for (const each of [https, http2]) each.close();
  files.remove();
  await eventually(() => loadAddon().counters().liveSessions === 0);
});

/** Answers with these octets, and ends TCP without close_notify. */
function cutting(octets: string): RequestListener {
  return ({ socket }) => void socket.write(octets, () => socket.destroy());
}

interface Answer {
  readonly status?: number;
  readonly body: string;
}

function ask(options: RequestOptions & { body?: string | Buffer } = {}): Promise<Answer> {
  const { body, ...rest } = options;
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, agent, method: body === undefined ? 'GET' : 'POST', ...rest });
    asked.once('error', reject);
    asked.once('response', (response: IncomingMessage) => {
      readAll(response).then((read) => resolve({ status: response.statusCode, body: String(read) }), reject);
    });
    asked.end(body);
  });
}

describe('an agent of https', () => {
  it('asks as the client whose key is on the token, on a connection that it keeps', async () => {
    const before = signer.calls;
    handler = (asked, response) => {
      response.end(`${String((asked.socket as TLSSocket).authorized)} ${commonName(asked.socket)}`);
    };
    for (let count = 0; count < 5; count++) expect(await ask()).toEqual({ status: 200, body: 'true alice' });
    expect([signer.calls - before, sockets.length]).toEqual([1, 1]);
  });

  it('carries large bodies both ways', async () => {
    const body = Buffer.alloc(3_000_000, 'abcdefg');
    expect((await ask({ body })).body).toBe(body.toString());
  });

  it('connects anew when the server has closed what it kept', async () => {
    await ask();
    expect(sockets).toHaveLength(1);
    sockets[0].end();
    await eventually(() => Object.keys(agent.freeSockets).length === 0);
    expect(await ask()).toMatchObject({ status: 200 });
  });

  it('tells a request why it has no connection', async () => {
    const wrong = ask({ headers: { host: 'other.example' } });
    await expect(wrong).rejects.toMatchObject({ code: 'ERR_TLS_OFFLOAD_SERVER_NAME_MISMATCH' });
    signer.before = () => Promise.reject(new Error('the token said no'));
    const failing = ask({ agent: new HttpsAgent(connector) });
    await expect(failing).rejects.toMatchObject({ code: 'ERR_TLS_OFFLOAD_SIGNATURE_FAILED' });
    signer.before = () => Promise.resolve();
  });

  it('tells a request that the connection broke', async () => {
    handler = (asked) => void asked.socket.destroy();
    await expect(ask()).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  it('fails an answer that only the end of the connection ends, where that was cut off', async () => {
    handler = cutting('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"withdrawn":[]');
    await expect(ask()).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  it.each([
    ['at once', 0],
    ['late', 50],
  ])('takes an answer whose length was told, though the connection was cut off after it, and which is read %s', async (_when, delay) => {
    const body = 'x'.repeat(500_000);
    handler = cutting(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    const errors: Error[] = [];
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const asked = request({ host: '127.0.0.1', port, agent });
      asked.on('error', (error) => { errors.push(error); reject(error); }).on('response', resolve).end();
    });
    await new Promise((resolve) => setTimeout(resolve, delay));
    expect((await readAll(response)).length).toBe(body.length);
    expect(errors).toEqual([]);
  }); // prettier-ignore

  it('ends a handshake after the timeout of its request', async () => {
    signer.before = ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('gone'))));
    const late = ask({ agent: new HttpsAgent(connector), timeout: 200 });
    await expect(late).rejects.toMatchObject({ code: 'ERR_TLS_OFFLOAD_SIGNATURE_TIMEOUT' });
    signer.before = () => Promise.resolve();
  }); // prettier-ignore

  it.each<[string, RequestOptions]>([
    ['rejectUnauthorized', { rejectUnauthorized: false }],
    ['ca', { ca: alice.certificatePem }],
    ['checkServerIdentity', { checkServerIdentity: () => new Error('no') }],
  ])('refuses a request that says what TLS is to be like (%s)', async (name, options) => {
    await expect(ask(options)).rejects.toThrow(`got ${name}`);
  });

  it('is told from an agent of Node.js, which the server does not know', async () => {
    handler = (asked, response) => response.end(String((asked.socket as TLSSocket).authorized));
    const plain = new NodeAgent({ ca: server.certificatePem });
    await expect(ask({ agent: plain })).rejects.toMatchObject({ code: expect.stringMatching(/ECONNRESET|CERTIFICATE_REQUIRED/) });
    plain.destroy();
  }); // prettier-ignore
});

describe('a connector of undici', () => {
  it.each([
    ['HTTP/1.1', [], '1.1 alice'],
    ['HTTP/2', ['h2', 'http/1.1'], '2.0 alice'],
  ])('carries %s', async (_version, alpnProtocols, said) => {
    const speaking = new TlsConnector({ caFile, credentials: [credentialOf(alice)], alpnProtocols });
    const dispatcher = new UndiciAgent({ connect: undiciConnector(speaking), allowH2: true });
    const url = `https://localhost:${(http2.address() as AddressInfo).port}/`;
    for (let count = 0; count < 3; count++) expect(await (await fetch(url, { dispatcher })).text()).toBe(said);
    expect(speaking.statistics.failed).toEqual({});
    await dispatcher.close();
    await speaking.close();
  });

  it('fails an answer that only the end of the connection ends, where that was cut off', async () => {
    const dispatcher = new UndiciAgent({ connect: undiciConnector(connector) });
    const read = async (): Promise<string> => (await fetch(`https://localhost:${port}/`, { dispatcher })).text();
    handler = cutting('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"withdrawn":[]');
    await expect(read()).rejects.toMatchObject({ cause: { code: 'ERR_TLS_OFFLOAD_PEER_GONE' } });
    const body = 'x'.repeat(500_000);
    handler = cutting(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    expect((await read()).length).toBe(body.length);
    await dispatcher.destroy();
  });

  it('tells why there is no connection, and makes none without TLS', async () => {
    const dispatcher = new UndiciAgent({ connect: undiciConnector(new TlsConnector()) });
    const untrusted = fetch(`https://localhost:${port}/`, { dispatcher });
    await expect(untrusted).rejects.toMatchObject({ cause: { code: 'ERR_TLS_OFFLOAD_SERVER_UNTRUSTED' } });
    const plain = createServer();
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    const bare = fetch(`http://localhost:${(plain.address() as AddressInfo).port}/`, { dispatcher });
    await expect(bare).rejects.toMatchObject({ cause: { code: 'ERR_TLS_OFFLOAD_CONFIG_INVALID' } });
    plain.close();
    await dispatcher.destroy();
  });
});

it('a session of HTTP/2 of Node.js runs on a connection of a connector', async () => {
  const { port: at } = http2.address() as AddressInfo;
  const socket = await connector.connect({ host: 'localhost', port: at, alpnProtocols: ['h2'] });
  const session = connectHttp2(`https://localhost:${at}`, { createConnection: () => socket });
  expect(String(await readAll(session.request({ ':path': '/' })))).toBe('2.0 alice');
  session.close();
});

it('an agent of https asks nothing more as who it was, once its connector shows another certificate', async () => {
  const slow = softwareSigner(alice);
  const shown = [credentialOf(alice, slow)];
  const own = new TlsConnector({ caFile, credentials: shown });
  const few = new HttpsAgent(own, { maxSockets: 1 });
  const held = deferred<() => void>();
  handler = (asked, response) => {
    const finish = (): unknown => response.end(commonName(asked.socket));
    if (asked.url === '/held') held.resolve(finish);
    else finish();
  };
  const as = async (path = '/'): Promise<string> => (await ask({ path, agent: few })).body;
  expect([await as(), await as()]).toEqual(['alice', 'alice']);
  own.setCredentials([...shown]);
  expect(own.statistics.open).toBe(1);
  // One that is kept.
  own.setCredentials([credentialOf(bob)]);
  expect(await as()).toBe('bob');
  // One that is in use, and for which another request waits.
  const waiting = [as('/held'), as()];
  const finish = await held.promise;
  own.setCredentials(shown);
  finish();
  expect(await Promise.all(waiting)).toEqual(['bob', 'alice']);
  // One that comes about meanwhile.
  few.destroy();
  const signing = deferred<void>();
  const before = slow.calls;
  slow.before = () => signing.promise;
  const late = as();
  await eventually(() => slow.calls > before);
  own.setCredentials([credentialOf(bob)]);
  signing.resolve();
  expect([await late, await as()]).toEqual(['alice', 'bob']);
  few.destroy();
  await own.close();
});
