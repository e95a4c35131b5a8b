import { jest } from '@jest/globals';
import { readdirSync, readFileSync, writeFileSync, statSync } from 'node:fs';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { basename } from 'node:path';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { type ClientIdentity, ClientPki } from '../test/client-pki.js';
import { credentialOf, makeIdentity } from '../test/identity.js';
import { connectTls, eventually, listen, type Listener, readAll } from '../test/listen.js';
import { thrownBy } from '../test/thrown-by.js';
import { ClientPolicies } from './client-auth.js';
import { type ClientCertificateConfig, parseConfig, terminatorConfigSchema } from './config.js';
import type { TlsOffloadError } from './errors.js';
import { createTlsOffloadServer } from './http-server.js';
import { L4Proxy } from './proxy/l4.js';
import { L7Proxy } from './proxy/l7.js';
import type { TlsSocket } from './socket.js';
import { TlsTerminator, type TerminatorOptions } from './terminator.js';

const identity = makeIdentity('ec-p256');
const pki = new ClientPki();
const strangers = new ClientPki();
const alice = pki.client();
afterAll(() => {
  pki.remove();
  strangers.remove();
});

const seen: TlsSocket[] = [];
const reported: TlsOffloadError[] = [];
beforeEach(() => {
  seen.length = 0;
  reported.length = 0;
});

async function serve(clientCertificates: ClientCertificateConfig, config: Partial<TerminatorOptions> = {}) {
  const terminator = new TlsTerminator({
    ...config,
    credentials: [credentialOf(identity)],
    clientCertificates,
    observer: { upkeepFailed: (error) => reported.push(error) },
  });
  const listener = await listen(terminator, (socket) => {
    seen.push(socket);
    socket.end('welcome');
  });
  return { terminator, listener };
}

/** What a client hears: the greeting, or the alert that it was refused with. */
async function visit({ port }: Listener, client: Partial<ClientIdentity> = {}, options: ConnectionOptions = {}): Promise<string> {
  const socket: TLSSocket = await connectTls({ port, ca: identity.certificatePem, ...client, ...options });
  return readAll(socket).then(String);
} // prettier-ignore

const required = (config: Partial<ClientCertificateConfig> = {}): ClientCertificateConfig => ({
  mode: 'required',
  caFile: pki.rootFile,
  ...config,
});

describe('a client certificate', () => {
  it.each(['TLSv1.2', 'TLSv1.3'] as const)('is verified and shown to the application in %s', async (maxVersion) => {
    const { listener } = await serve(required());
    await using _ = listener;
    expect(await visit(listener, alice, { maxVersion, minVersion: maxVersion })).toBe('welcome');
    expect(seen[0].authorized).toBe(true);
    expect(seen[0].peerCertificateChain.map(({ subject }) => subject)).toEqual([
      'CN=alice\nO=Example',
      'CN=client root',
    ]);
  });

  const refused: readonly [string, () => Partial<ClientIdentity>, RegExp][] = [
    ['none', () => ({}), /certificate required|handshake failure/],
    ['of another authority', () => strangers.client(), /unknown ca/],
    ['expired', () => pki.client({ days: -1 }), /certificate expired/],
    ["a server's", () => pki.client({ extensions: 'extendedKeyUsage=serverAuth' }), /unsupported certificate|bad certificate/],
    ["a CA's", () => pki.client({ extensions: 'basicConstraints=CA:TRUE' }), /unsupported certificate|bad certificate/],
  ]; // prettier-ignore
  it.each(refused)('that is %s is refused, in either version', async (_what, client, alert) => {
    const { listener, terminator } = await serve(required());
    await using _ = listener;
    const shown = client();
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      await expect(visit(listener, shown, { minVersion: version, maxVersion: version })).rejects.toThrow(alert);
    }
    await eventually(() => listener.failures.length === 2);
    const code = 'ERR_TLS_OFFLOAD_CLIENT_CERTIFICATE_REFUSED';
    expect(listener.failures.map((failure) => failure.code)).toEqual([code, code]);
    expect(seen).toEqual([]);
    const { refusals } = terminator.statistics.clientCertificates;
    const count = Object.values(refusals).reduce((sum, each) => sum + each, 0);
    expect(count).toBe('cert' in shown ? 2 : 0);
  });

  it('may be missing where it is optional, but not wrong', async () => {
    const { listener } = await serve(required({ mode: 'optional' }));
    await using _ = listener;
    expect(await visit(listener)).toBe('welcome');
    expect(seen[0].authorized).toBe(false);
    expect(await visit(listener, alice)).toBe('welcome');
    expect(seen[1].authorized).toBe(true);
    await expect(visit(listener, strangers.client())).rejects.toThrow(/unknown ca/);
  });

  it('may come through an intermediate, and through no more than are allowed', async () => {
    const { cert, key } = pki.client({ issuer: nameOf(pki.intermediate('between')) });
    const chain = { cert: cert + readFileText(pki.file('between.pem')), key };
    const allowed = await serve(required());
    await using _ = allowed.listener;
    expect(await visit(allowed.listener, chain)).toBe('welcome');
    const direct = await serve(required({ maximumIntermediates: 0 }));
    await using __ = direct.listener;
    await expect(visit(direct.listener, chain)).rejects.toThrow(/alert/);
  });

  it('may not be larger than is allowed', async () => {
    const { listener } = await serve(required({ maximumChainBytes: 4_096 }));
    await using _ = listener;
    const names = Array.from({ length: 200 }, (__, index) => `DNS:${index}.a-rather-long-name.example`).join();
    await expect(visit(listener, pki.client({ names }))).rejects.toThrow(/alert|ECONNRESET/);
    await eventually(() => listener.failures.length === 1);
    expect(listener.failures[0].message).toMatch(/excessive message size|message too long/);
  });
});

describe('the rules about names', () => {
  const names = 'DNS:Alice.example,DNS:*.wild.example,email:alice@Example.org,URI:spiffe://prod/ns/a/sa/web';
  const shown = pki.client({ names });
  const twoUris = pki.client({ names: 'URI:spiffe://prod/ns/a/sa/web,URI:https://elsewhere.example/' });

  const rows: readonly [object, boolean][] = [
    [{ dnsName: 'alice.EXAMPLE' }, true],
    [{ dnsName: '*.example' }, true],
    [{ dnsName: 'bob.example' }, false],
    [{ dnsName: 'a.wild.example' }, false],
    [{ dnsName: 'alice' }, false],
    [{ email: 'alice@example.ORG' }, true],
    [{ email: 'Alice@example.org' }, false],
    [{ email: '@example.org' }, true],
    [{ email: '@ample.org' }, false],
    [{ uri: 'spiffe://prod/ns/a/sa/web' }, true],
    [{ spiffeId: 'spiffe://prod/ns/a/*' }, true],
    [{ spiffeId: 'spiffe://prod/ns/a/sa/web/*' }, false],
    [{ spiffeId: 'spiffe://prod/ns/a' }, false],
    [{ spiffeId: 'spiffe://test/*' }, false],
    [{ subject: 'O=Example,CN=alice' }, true],
    [{ subject: 'CN=alice' }, false],
  ];
  it.each(rows)('%j: %s', async (rule, allowed) => {
    const { listener } = await serve(required({ allow: [{ dnsName: 'nobody.example' }, rule] as never }));
    await using _ = listener;
    if (allowed) expect(await visit(listener, shown)).toBe('welcome');
    else await expect(visit(listener, shown)).rejects.toThrow(/bad certificate/);
  });

  it('take one SPIFFE id for a certificate, as SPIFFE does', async () => {
    const { listener } = await serve(required({ allow: [{ spiffeId: 'spiffe://prod/*' }] }));
    await using _ = listener;
    await expect(visit(listener, twoUris)).rejects.toThrow(/bad certificate/);
  });

  it('are those of the server name that the client gave', async () => {
    const { listener } = await serve(required(), {
      clientCertificatesByName: {
        'Open.example': {},
        '*.wild.example': required({ allow: [{ dnsName: 'bob.example' }] }),
      },
    });
    await using _ = listener;
    const at = (servername: string, client = {}) => visit(listener, client, { servername, rejectUnauthorized: false });
    expect(await at('open.example')).toBe('welcome');
    expect(await at('localhost', alice)).toBe('welcome');
    await expect(at('localhost')).rejects.toThrow(/certificate required/);
    await expect(at('a.wild.example', alice)).rejects.toThrow(/bad certificate/);
    expect(await at('a.wild.example', pki.client({ names: 'DNS:bob.example' }))).toBe('welcome');
  });

  it('are those of the name without the dot that it ends with, on either side', async () => {
    const { listener } = await serve(
      {},
      { clientCertificatesByName: { 'secret.example': required(), 'Other.example.': required() } },
    );
    await using _ = listener;
    const at = (servername: string, client = {}) => visit(listener, client, { servername, rejectUnauthorized: false });
    for (const name of ['secret.example.', 'Secret.Example..', 'other.example', 'other.example.']) {
      await expect(at(name)).rejects.toThrow(/certificate required/);
    }
    expect(await at('Secret.example.', alice)).toBe('welcome');
    expect(seen[0].servername).toBe('secret.example');
  });
});

describe('rules by server name', () => {
  const byName = { clientCertificatesByName: { 'secret.example': required() } };
  const terminatorOf = (): TlsTerminator => new TlsTerminator({ ...byName, credentials: [credentialOf(identity)] });

  it.each<[string, (terminator: TlsTerminator) => unknown, RegExp]>([
    [
      'L4',
      (terminator) => new L4Proxy(terminator, { upstream: { host: 'x', port: 1 } }),
      /one rule about clients for all/,
    ],
    [
      'L7 that asks for no Host in particular',
      (terminator) => new L7Proxy(terminator, { upstreams: [{ url: 'http://x' }], requireMatchingHost: false }),
      /want requireMatchingHost/,
    ],
  ])('are a fault of the configuration with %s', async (_what, make, message) => {
    const terminator = terminatorOf();
    expect(() => make(terminator)).toThrow(message);
    await terminator.close(0);
  });

  it.each<[string, string, number]>([
    ['its own name', 'GET / HTTP/1.1\r\nHost: Public.example:443\r\n\r\n', 200],
    ['another name', 'GET / HTTP/1.1\r\nHost: secret.example\r\n\r\n', 421],
    ['another name in its target', 'GET https://secret.example/ HTTP/1.1\r\nHost: public.example\r\n\r\n', 421],
    ['another name too', 'GET / HTTP/1.1\r\nHost: public.example\r\nHost: secret.example\r\n\r\n', 421],
    ['no name', 'GET / HTTP/1.0\r\n\r\n', 421],
    [
      'another name, to upgrade',
      'GET / HTTP/1.1\r\nHost: secret.example\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
      421,
    ],
    [
      'another name, before its body',
      'POST / HTTP/1.1\r\nHost: secret.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n',
      421,
    ],
  ])('let a request in HTTP/1.1 for %s reach an embedded server or not', async (_what, request, status) => {
    await using server = await embedded();
    const client = await connectTls({ port: server.port, servername: 'public.example', ca: identity.certificatePem, checkServerIdentity: () => undefined }); // prettier-ignore
    client.write(
      request
        .replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')
        .replace(/(Connection: Upgrade.*)\r\nConnection: close/s, '$1'),
    );
    expect(String(await readAll(client))).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(server.reached).toBe(status === 200 ? 1 : 0);
  });

  it.each([
    ['public.example', 200],
    ['secret.example', 421],
  ])('let a request in HTTP/2 for %s reach an embedded server or not', async (authority, status) => {
    await using server = await embedded();
    const session = connectHttp2(`https://127.0.0.1:${server.port}`, { servername: 'public.example', ca: identity.certificatePem, checkServerIdentity: () => undefined }); // prettier-ignore
    const stream = session.request({ ':path': '/', ':authority': authority });
    const [headers] = (await once(stream, 'response')) as [Record<string, number>];
    expect(headers[':status']).toBe(status);
    expect(server.reached).toBe(status === 200 ? 1 : 0);
    session.destroy();
  });

  async function embedded() {
    let reached = 0;
    const terminator = new TlsTerminator({ ...byName, credentials: [credentialOf(identity)], alpnProtocols: ['h2', 'http/1.1'] }); // prettier-ignore
    const reach = (_request: unknown, response: { end(): void }): void => {
      reached++;
      response.end();
    };
    const server = createTlsOffloadServer(terminator, reach).on('upgrade', reach).on('checkContinue', reach);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
      port: (server.address() as AddressInfo).port,
      get reached() {
        return reached;
      },
      [Symbol.asyncDispose]: async () => {
        server.close();
        await terminator.close(0);
      },
    };
  }
});

describe('a CRL', () => {
  const own = new ClientPki();
  afterAll(() => own.remove());
  const good = own.client();
  const bad = own.client();
  const crlFile = own.file('crl.pem');
  const before = own.crl();
  own.revoke(bad);
  const after = own.crl();
  const config: ClientCertificateConfig = { mode: 'required', caFile: own.rootFile, crlFiles: [crlFile], reloadIntervalMilliseconds: 3_600_000,
  }; // prettier-ignore

  it('refuses who is revoked, from its reading on, and is never replaced by an older one', async () => {
    own.write('crl.pem', before);
    const { listener, terminator } = await serve(config);
    await using _ = listener;
    expect(await visit(listener, bad)).toBe('welcome');

    own.write('crl.pem', after);
    await terminator.reloadClientAuthorities();
    await expect(visit(listener, bad)).rejects.toThrow(/certificate revoked/);
    expect(await visit(listener, good)).toBe('welcome');
    expect(reported).toEqual([]);

    const unusable: readonly [string, RegExp][] = [
      [before, /crl\.pem: CRL 1: want one no older than the one in force/],
      ['garbage', /want a CRL/],
      [strangers.crl(), /none of them signed/],
    ];
    for (const [content, message] of unusable) {
      own.write('crl.pem', content);
      await terminator.reloadClientAuthorities();
      expect(reported.at(-1)).toMatchObject({ code: 'ERR_TLS_OFFLOAD_CLIENT_AUTHORITIES' });
      expect(reported.at(-1)?.message).toMatch(message);
      await expect(visit(listener, bad)).rejects.toThrow(/certificate revoked/);
      expect(await visit(listener, good)).toBe('welcome');
    }
    expect(terminator.statistics.clientCertificates).toMatchObject({
      faults: 3,
      refusals: { 'certificate revoked': 4 },
      crls: [{ issuer: '/CN=client root' }],
    });
  });

  it('is remembered: none older is taken after a restart, and the newest stays in force until a newer one comes', async () => {
    const crlDirectory = own.file('remembered');
    own.write('crl.pem', after);
    const first = await serve(config, { crlDirectory });
    await first.listener[Symbol.asyncDispose]();
    const [file] = readdirSync(crlDirectory);
    const { ino } = statSync(`${crlDirectory}/${file}`);
    // Of no authority here, or no CRL at all: nobody's fault.
    writeFileSync(`${crlDirectory}/${'0'.repeat(64)}.crl`, 'garbage');

    own.write('crl.pem', before);
    const { listener, terminator } = await serve(config, { crlDirectory });
    await using _ = listener;
    expect(reported.map(({ message }) => message)).toEqual([
      expect.stringMatching(/crl\.pem: CRL 1: want one no older/),
    ]);
    await expect(visit(listener, bad)).rejects.toThrow(/certificate revoked/);
    expect(await visit(listener, good)).toBe('welcome');

    expect(statSync(`${crlDirectory}/${file}`).ino).toBe(ino);
    const kept = readdirSync(crlDirectory);
    expect(kept).toHaveLength(2);
    own.write('crl.pem', own.crl());
    await terminator.reloadClientAuthorities();
    expect(readdirSync(crlDirectory)).toHaveLength(2);
    expect(readdirSync(crlDirectory)).not.toEqual(kept);
  });

  it('is remembered while its authority is missing from a bundle that is half-written', async () => {
    const caFile = own.file('half-written.pem');
    own.write('half-written.pem', own.root);
    own.write('crl.pem', after);
    const { listener, terminator } = await serve({ ...config, caFile }, { crlDirectory: own.file('bundled') });
    await using _ = listener;
    own.write('half-written.pem', strangers.root);
    await terminator.reloadClientAuthorities();
    expect(terminator.statistics.clientCertificates.crls).toEqual([]);
    own.write('half-written.pem', own.root);
    own.write('crl.pem', before);
    await terminator.reloadClientAuthorities();
    await expect(visit(listener, bad)).rejects.toThrow(/certificate revoked/);
  });

  it('that cannot be remembered is reported, and clients are served', async () => {
    own.write('crl.pem', after);
    // Read it can be, and nothing written there.
    const { listener } = await serve(config, { crlDirectory: '/proc' });
    await using _ = listener;
    expect(reported.map(({ message }) => message)).toEqual([
      expect.stringMatching(/\/proc: want to keep the CRLs in force, got EN/),
    ]);
    expect(await visit(listener, good)).toBe('welcome');
    await expect(visit(listener, bad)).rejects.toThrow(/certificate revoked/);
  });

  it('that has ended refuses everybody, and is reported', async () => {
    own.write('crl.pem', own.crl('root', '-crl_lastupdate', '20200101000000Z', '-crl_nextupdate', '20200201000000Z'));
    const { listener } = await serve(config);
    await using _ = listener;
    await expect(visit(listener, good)).rejects.toThrow(/certificate expired|alert/);
    await eventually(() => listener.failures.length === 1);
    expect(listener.failures[0].message).toContain('CRL has expired');
    expect(reported[0].message).toMatch(/want one in force, got one that ended 2020/);
  });

  it('is needed of every issuer in the chain', async () => {
    const file = own.intermediate('issuing');
    own.write('crl.pem', own.crl());
    own.write('bundle.pem', own.root + readFileText(file));
    const { cert, key } = own.client({ issuer: 'issuing' });
    const shown = { cert: cert + readFileText(file), key };
    const bundle = own.file('bundle.pem');
    const without = await serve({ ...config, caFile: bundle });
    await using _ = without.listener;
    await expect(visit(without.listener, shown)).rejects.toThrow(/alert/);
    own.write('issuing-crl.pem', own.crl('issuing'));
    const complete = await serve({ ...config, caFile: bundle, crlFiles: [crlFile, own.file('issuing-crl.pem')] });
    await using __ = complete.listener;
    expect(await visit(complete.listener, shown)).toBe('welcome');
  });
});

describe('the files', () => {
  const files = new ClientPki();
  afterAll(() => files.remove());
  const refused: readonly [string, () => Partial<ClientCertificateConfig>, RegExp][] = [
    ['missing', () => ({ caFile: files.file('none.pem') }), /none\.pem: want a readable file/],
    ['empty', () => ({ caFile: files.write('empty.pem', '') }), /want a self-signed certificate at least, got none/],
    ['without a root', () => ({ caFile: files.intermediate('alone') }), /want a self-signed certificate at least/],
    ['garbage', () => ({ crlFiles: [files.write('garbage.pem', 'x')] }), /garbage\.pem: CRL 1: want a CRL/],
    ['of another authority', () => ({ crlFiles: [files.write('other.pem', strangers.crl())] }), /none of them signed/],
  ];
  it.each(refused)('are refused at the start when they are %s', (_what, config, message) => {
    const options = { credentials: [credentialOf(identity)], clientCertificates: required(config()) };
    const error = thrownBy(() => new TlsTerminator(options));
    expect(error).toMatchObject({ code: 'ERR_TLS_OFFLOAD_CONFIG_INVALID' });
    expect((error as Error).message).toMatch(message);
  });

  it('are watched no more where those of another name are refused', () => {
    const begun = jest.spyOn(globalThis, 'setInterval');
    const ended = jest.spyOn(globalThis, 'clearInterval');
    const clientCertificatesByName = { 'a.example': required({ caFile: files.file('none.pem') }) };
    const config = parseConfig(terminatorConfigSchema, 'test', { clientCertificates: required(), clientCertificatesByName }); // prettier-ignore
    expect(thrownBy(() => new ClientPolicies(config, () => undefined))).toMatchObject({ code: 'ERR_TLS_OFFLOAD_CONFIG_INVALID' }); // prettier-ignore
    expect(begun.mock.results).toHaveLength(2);
    expect(new Set(ended.mock.calls.map(([timer]) => timer))).toEqual(new Set(begun.mock.results.map(({ value }) => value as NodeJS.Timeout))); // prettier-ignore
    begun.mockRestore();
    ended.mockRestore();
  });

  it('that change while they are first read are read again at the first look', async () => {
    const caFile = files.write('swapped.pem', strangers.root);
    const clientCertificates = required({ caFile, reloadIntervalMilliseconds: 3_600_000 });
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity)], clientCertificates });
    files.write('swapped.pem', pki.root);
    await terminator.reloadClientAuthorities();
    await using listener = await listen(terminator, (socket) => void socket.end('welcome'));
    expect(await visit(listener, alice)).toBe('welcome');
  });

  it('of authorities are read again by themselves when they change', async () => {
    const caFile = files.write('ca.pem', strangers.root);
    const { listener } = await serve(required({ caFile, reloadIntervalMilliseconds: 50 }));
    await using _ = listener;
    await expect(visit(listener, alice)).rejects.toThrow(/unknown ca/);
    files.write('ca.pem', pki.root);
    await eventually(async () => (await visit(listener, alice)) === 'welcome');
    files.write('ca.pem', 'gone wrong');
    await eventually(() => reported.length > 0);
    expect(await visit(listener, alice)).toBe('welcome');
  });
});

function readFileText(file: string): string {
  return readFileSync(file, 'utf8');
}

function nameOf(file: string): string {
  return basename(file, '.pem');
}
