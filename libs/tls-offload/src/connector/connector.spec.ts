import type { AsymmetricKeyAlgorithm } from '@nest-hsm/hsm';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { PeerCertificate, SecureVersion, TlsOptions } from 'node:tls';
import { ClientPki } from '../../test/client-pki.js';
import { credentialOf, makeIdentity, softwareSigner } from '../../test/identity.js';
import { eventually, listen, readAll } from '../../test/listen.js';
import { serveTls } from '../../test/tls-server.js';
import { thrownBy } from '../../test/thrown-by.js';
import { loadAddon } from '../addon.js';
import type { TlsOffloadError } from '../errors.js';
import { TlsTerminator } from '../terminator.js';
import { type ConnectOptions, type ConnectorOptions, TlsConnector } from './connector.js';
import { freePort } from '../../../../test/support/server-process.js';

const pki = new ClientPki();
const strangers = new ClientPki();
const versions = ['TLSv1.2', 'TLSv1.3'] as const;
const purpose = 'basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n';
const named = (names: string): string => `${purpose}subjectAltName=${names}\n`;
const localhost = pki.client({ subject: '/CN=server', extensions: named('DNS:localhost,IP:127.0.0.1') });
const alice = makeIdentity('ec-p256', ['alice']);
afterAll(() => {
  pki.remove();
  strangers.remove();
});

const connectors: TlsConnector[] = [];
function newConnector(options: ConnectorOptions = {}): TlsConnector {
  const connector = new TlsConnector({ caFile: pki.rootFile, ...options });
  connectors.push(connector);
  return connector;
}
afterEach(async () => {
  await Promise.all(connectors.splice(0).map((connector) => connector.close()));
  const { counters } = loadAddon();
  await eventually(() => counters().liveSessions === 0 && counters().pausedJobs === 0);
});

const only = (version: SecureVersion): TlsOptions => ({ minVersion: version, maxVersion: version });
const asking = (ca: string | string[] = alice.certificatePem): TlsOptions => ({ requestCert: true, ca });
const to = (port: number, options: Partial<ConnectOptions> = {}): ConnectOptions => ({
  host: '127.0.0.1',
  serverName: 'localhost',
  port,
  ...options,
});
const codeOf = (connecting: Promise<unknown>): Promise<string> =>
  connecting.then(
    () => 'OK',
    ({ code }: TlsOffloadError) => code,
  );
/** A server with an RSA key, which the roots of `bothRoots` certify too. */
const rsa = makeIdentity('rsa-2048');
const rsaServer: TlsOptions = {
  key: rsa.privateKey.export({ format: 'pem', type: 'pkcs8' }),
  cert: rsa.certificatePem,
};
const bothRoots = pki.write('both.pem', pki.root + rsa.certificatePem);

describe.each(versions)('a client of %s', (version) => {
  it.each<AsymmetricKeyAlgorithm>(['ec-p256', 'ec-p384', 'rsa-2048', 'ed25519'])(
    'proves itself by its key on the token to a server that asks (%s)',
    async (algorithm) => {
      const identity = makeIdentity(algorithm, ['bob']);
      const signer = softwareSigner(identity);
      const options = { ...localhost, ...asking(identity.certificatePem), ...only(version), ALPNProtocols: ['x', 'y'] };
      await using server = await serveTls(options);
      const connector = newConnector({ credentials: [credentialOf(identity, signer)], alpnProtocols: ['y'] });
      const socket = await connector.connect(to(server.port));
      expect(socket).toMatchObject({
        encrypted: true,
        authorized: true,
        authorizationError: null,
        alpnProtocol: 'y',
        servername: 'localhost',
        remotePort: server.port,
      });
      expect(socket.getProtocol()).toBe(version);
      expect((socket.getPeerCertificate() as PeerCertificate).subject.CN).toBe('server');
      expect(socket.peerCertificateChain.at(-1)?.subject).toBe('CN=client root');
      const body = Buffer.alloc(300_000, 'x');
      socket.end(body);
      expect((await readAll(socket)).equals(body)).toBe(true);
      expect(signer.calls).toBe(1);
      expect(server.seen[0].authorized).toBe(true);
      expect(server.clients).toEqual(['bob']);
      expect(connector.statistics).toMatchObject({ completed: { [version]: 1 }, failed: {} });
    },
  );

  it('shows no certificate to a server that does not ask', async () => {
    const signer = softwareSigner(alice);
    await using server = await serveTls({ ...localhost, ...only(version) });
    const socket = await newConnector({ credentials: [credentialOf(alice, signer)] }).connect(to(server.port));
    socket.end('hello');
    expect(String(await readAll(socket))).toBe('hello');
    expect([signer.calls, server.clients]).toEqual([0, [undefined]]);
  });

  it('shows the certificate that the server can verify', async () => {
    const [ec, other] = [makeIdentity('ec-p256', ['ec']), makeIdentity('rsa-2048', ['rsa'])];
    const credentials = [credentialOf(ec), credentialOf(other)];
    const ca = [ec.certificatePem, other.certificatePem];
    for (const reversed of [false, true]) {
      const connector = newConnector({
        caFile: bothRoots,
        credentials: reversed ? credentials.toReversed() : credentials,
      });
      for (const [of, sigalgs] of [
        ['ec', 'ecdsa_secp256r1_sha256'],
        ['rsa', 'rsa_pss_rsae_sha256'],
      ] as const) {
        const own = of === 'ec' ? localhost : rsaServer;
        await using server = await serveTls({ ...own, ...asking(ca), ...only(version), sigalgs });
        const socket = await connector.connect(to(server.port));
        await eventually(() => server.seen.length === 1);
        expect(server.clients).toEqual([of]);
        socket.destroy();
      }
    }
  });

  it('shows none when the server can verify none', async () => {
    const connector = newConnector({ caFile: bothRoots, credentials: [credentialOf(alice)] });
    await using server = await serveTls({
      ...rsaServer,
      ...asking(),
      ...only(version),
      rejectUnauthorized: false,
      sigalgs: 'rsa_pss_rsae_sha256',
    });
    const socket = await connector.connect(to(server.port));
    await eventually(() => server.seen.length === 1);
    expect(server.clients).toEqual([undefined]);
    socket.destroy();
  });

  const refusals: readonly [string, () => TlsOptions, Partial<ConnectOptions>, string][] = [
    ['another name', () => localhost, { serverName: 'other.example' }, 'SERVER_NAME_MISMATCH'],
    ['another address', () => localhost, { serverName: '127.0.0.2' }, 'SERVER_NAME_MISMATCH'],
    ['its name as a subject alone', () => pki.client({ subject: '/CN=localhost', extensions: purpose }), {}, 'SERVER_NAME_MISMATCH'],
    ['a wildcard in a part of a label', () => pki.client({ extensions: named('DNS:a*.example') }), { serverName: 'ab.example' }, 'SERVER_NAME_MISMATCH'],
    ['a wildcard for one label of two', () => pki.client({ extensions: named('DNS:*.example') }), { serverName: 'a.b.example' }, 'SERVER_NAME_MISMATCH'],
    ['a certificate that has ended', () => pki.client({ extensions: named('DNS:localhost'), days: -1 }), {}, 'SERVER_CERTIFICATE_EXPIRED'],
    ['another authority', () => strangers.client({ extensions: named('DNS:localhost') }), {}, 'SERVER_UNTRUSTED'],
    ["a client's certificate", () => pki.client({ names: 'DNS:localhost' }), {}, 'SERVER_UNTRUSTED'],
  ]; // prettier-ignore
  it.each(refusals)('refuses a server with %s, and signs nothing for it', async (_what, server, options, code) => {
    const signer = softwareSigner(alice);
    await using served = await serveTls({ ...server(), ...asking(), ...only(version) });
    const connector = newConnector({ credentials: [credentialOf(alice, signer)] });
    expect(await codeOf(connector.connect(to(served.port, options)))).toBe(`ERR_TLS_OFFLOAD_${code}`);
    expect(signer.calls).toBe(0);
    expect(connector.statistics.failed).toEqual({ [`ERR_TLS_OFFLOAD_${code}`]: 1 });
  });

  it('ends with the signature that it cannot have', async () => {
    const signer = softwareSigner(alice);
    await using server = await serveTls({ ...localhost, ...asking(), ...only(version) });
    const connector = newConnector({
      credentials: [credentialOf(alice, signer)],
      handshakeTimeoutMilliseconds: 400,
      pendingSignatureLimit: 1,
    });
    signer.before = () => Promise.reject(new Error('the token said no'));
    expect(await codeOf(connector.connect(to(server.port)))).toBe('ERR_TLS_OFFLOAD_SIGNATURE_FAILED');
    signer.before = ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('gone'))));
    const [first, second] = [connector.connect(to(server.port)), connector.connect(to(server.port))];
    expect((await Promise.all([codeOf(first), codeOf(second)])).sort()).toEqual([
      'ERR_TLS_OFFLOAD_SIGNATURES_SATURATED',
      'ERR_TLS_OFFLOAD_SIGNATURE_TIMEOUT',
    ]);
  }); // prettier-ignore

  it('that is aborted while its signature is made leaves nothing behind', async () => {
    const signer = softwareSigner(alice);
    await using server = await serveTls({ ...localhost, ...asking(), ...only(version) });
    const connector = newConnector({ credentials: [credentialOf(alice, signer)] });
    signer.before = ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('gone'))));
    const abort = new AbortController();
    const connecting = connector.connect(to(server.port, { signal: abort.signal }));
    await eventually(() => signer.calls === 1 && loadAddon().counters().pausedJobs === 1);
    abort.abort(new Error('enough'));
    await expect(connecting).rejects.toThrow('enough');
    expect([signer.aborted, loadAddon().counters().pausedJobs]).toEqual([1, 0]);
    expect(connector.statistics).toMatchObject({ handshaking: 0, failed: {} });
  }); // prettier-ignore
});

describe('a server', () => {
  it.each([
    ['by an address', { serverName: '127.0.0.1' }],
    ['by its name with a dot at the end, in capitals', { serverName: 'LOCALHOST.' }],
  ])('is known %s', async (_how, options) => {
    await using server = await serveTls(localhost);
    (await newConnector().connect(to(server.port, options))).destroy();
  });

  it('that has one name is sent it, and none when an address is asked for', async () => {
    await using server = await serveTls(localhost);
    (await newConnector().connect(to(server.port))).destroy();
    (await newConnector().connect(to(server.port, { serverName: '127.0.0.1' }))).destroy();
    await eventually(() => server.seen.length === 2);
    expect(server.seen.map((socket) => (socket as unknown as { servername: unknown }).servername)).toEqual(['localhost', false]);
  }); // prettier-ignore

  it.each(['', '.', '.example', 'a\0b', `${'a'.repeat(300)}.example`])('has a name, and not %j', async (serverName) => {
    await using server = await serveTls(localhost);
    expect(await codeOf(newConnector().connect(to(server.port, { serverName })))).toBe('ERR_TLS_OFFLOAD_CONFIG_INVALID');
  }); // prettier-ignore

  it('with an application protocol that nobody offered is refused', async () => {
    await using server = await serveTls({ ...localhost, ALPNProtocols: ['h2'] });
    const refused = codeOf(newConnector().connect(to(server.port, { alpnProtocols: ['http/1.1'] })));
    expect(await refused).toBe('ERR_TLS_OFFLOAD_HANDSHAKE_FAILED');
  });

  it('is refused once a CRL revokes it, and when the CRL has ended', async () => {
    const revoked = pki.client({ extensions: named('DNS:localhost') });
    await using server = await serveTls(revoked);
    const crlFile = pki.write('servers.crl', pki.crl());
    const connector = newConnector({ crlFiles: [crlFile], reloadIntervalMilliseconds: 3_600_000 });
    (await connector.connect(to(server.port))).destroy();
    pki.revoke(revoked);
    pki.write('servers.crl', pki.crl());
    await connector.reloadAuthorities();
    expect(await codeOf(connector.connect(to(server.port)))).toBe('ERR_TLS_OFFLOAD_SERVER_CERTIFICATE_REVOKED');
    expect(connector.statistics.crls).toHaveLength(1);

    const ended = pki.write('ended.crl', pki.crl('root', '-crl_lastupdate', '20200101000000Z', '-crl_nextupdate', '20200201000000Z')); // prettier-ignore
    const late = newConnector({ crlFiles: [ended] });
    expect(await codeOf(late.connect(to(server.port)))).toBe('ERR_TLS_OFFLOAD_SERVER_UNTRUSTED');
  });

  it('is not believed by the roots of Node.js unless one of them certifies it', async () => {
    await using server = await serveTls(localhost);
    const connector = newConnector({ caFile: undefined });
    expect(await codeOf(connector.connect(to(server.port)))).toBe('ERR_TLS_OFFLOAD_SERVER_UNTRUSTED');
  });

  it('tells a client that its certificate is not accepted, or missing', async () => {
    const terminator = new TlsTerminator({
      credentials: [credentialOf(rsa)],
      clientCertificates: { mode: 'required', caFile: strangers.rootFile },
    });
    await using server = await listen(terminator, (socket) => socket.end('welcome'));
    for (const credentials of [[credentialOf(alice)], []]) {
      const connector = newConnector({ caFile: bothRoots, credentials });
      // In TLS 1.3 a server judges it when the client's handshake is over.
      const refused = connector.connect(to(server.port)).then((socket) => readAll(socket));
      expect(await codeOf(refused)).toBe('ERR_TLS_OFFLOAD_CLIENT_CERTIFICATE_REFUSED');
    }
    expect(server.failures.map(({ code }) => code)).toEqual(
      Array(2).fill('ERR_TLS_OFFLOAD_CLIENT_CERTIFICATE_REFUSED'),
    );
  });

  it('that refuses the TCP connection is told of as the system tells it', async () => {
    expect(await codeOf(newConnector().connect(to(await freePort())))).toBe('ECONNREFUSED');
  });

  it('of another version, or without a common cipher, is refused', async () => {
    await using old = await serveTls({ ...localhost, ...only('TLSv1.2') });
    const modern = newConnector({ minimumVersion: 'TLSv1.3' });
    expect(await codeOf(modern.connect(to(old.port)))).toBe('ERR_TLS_OFFLOAD_HANDSHAKE_FAILED');
    await using weak = await serveTls({ ...localhost, ...only('TLSv1.2'), ciphers: 'ECDHE-ECDSA-AES128-SHA' });
    expect(await codeOf(newConnector().connect(to(weak.port)))).toBe('ERR_TLS_OFFLOAD_HANDSHAKE_FAILED');
  });
});

describe('a peer that', () => {
  async function serveTcp(onConnection: (socket: Socket) => void): Promise<AsyncDisposable & { port: number }> {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket.on('error', () => undefined));
      onConnection(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
      port: (server.address() as AddressInfo).port,
      [Symbol.asyncDispose]: async () => {
        for (const socket of sockets) socket.destroy();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }

  it.each<[string, (socket: Socket) => void, string]>([
    ['never answers', () => undefined, 'HANDSHAKE_TIMEOUT'],
    ['ends the connection', (socket) => socket.once('data', () => socket.end()), 'PEER_GONE'],
    ['resets the connection', (socket) => socket.once('data', () => socket.resetAndDestroy()), 'PEER_GONE'],
    ['talks nonsense', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'), 'HANDSHAKE_FAILED'],
    ['asks to begin again and again', (socket) => socket.write(Buffer.alloc(600_000, Buffer.from([22, 3, 3, 0, 4, 0, 0, 0, 0]))), 'HANDSHAKE_TIMEOUT'],
  ])('%s fails its own handshake', async (_what, behave, code) => {
    await using server = await serveTcp(behave);
    const connector = newConnector({ handshakeTimeoutMilliseconds: 300 });
    expect(await codeOf(connector.connect(to(server.port)))).toBe(`ERR_TLS_OFFLOAD_${code}`);
  }); // prettier-ignore

  it('ends in the middle of what it says breaks nothing but its connection', async () => {
    await using server = await serveTls(localhost);
    const connector = newConnector();
    const [broken, other] = [await connector.connect(to(server.port)), await connector.connect(to(server.port))];
    await eventually(() => server.seen.length === 2);
    server.connections[0].resetAndDestroy();
    await expect(readAll(broken)).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(broken.failure?.code).toBe('ERR_TLS_OFFLOAD_PEER_GONE');
    other.end('still here');
    expect(String(await readAll(other))).toBe('still here');
  });
});

describe('a connector', () => {
  it('shows other credentials from the next handshake on', async () => {
    const bob = makeIdentity('rsa-2048', ['bob']);
    await using server = await serveTls({ ...localhost, ...asking([alice.certificatePem, bob.certificatePem]) });
    const connector = newConnector({ credentials: [credentialOf(alice)] });
    const sockets = [await connector.connect(to(server.port))];
    connector.setCredentials([credentialOf(bob)]);
    sockets.push(await connector.connect(to(server.port)));
    await eventually(() => server.seen.length === 2);
    expect(server.clients).toEqual(['alice', 'bob']);
    sockets[0].end('on');
    expect(String(await readAll(sockets[0]))).toBe('on');
    expect(thrownBy(() => connector.setCredentials([credentialOf(bob), credentialOf(bob)]))).toMatchObject({
      code: 'ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED',
    });
    await connector.close();
    expect(await codeOf(connector.connect(to(server.port)))).toBe('ERR_TLS_OFFLOAD_CLOSED');
    expect(sockets[1].destroyed).toBe(true);
  }); // prettier-ignore

  it.each<[string, ConnectorOptions]>([
    ['roots that are not there', { caFile: '/nowhere' }],
    ['a CRL that no root has signed', { crlFiles: [strangers.write('other.crl', strangers.crl())] }],
    ['a cipher that is not to be had', { cipherSuites: ['RC4-SHA' as never] }],
    ['what nobody knows', { rejectUnauthorized: false } as never],
  ])('with %s is refused', (_what, options) => {
    expect(thrownBy(() => newConnector(options))).toMatchObject({ code: 'ERR_TLS_OFFLOAD_CONFIG_INVALID' });
  });
});
