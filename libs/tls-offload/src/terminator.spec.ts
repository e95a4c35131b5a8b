import type { AsymmetricKeyAlgorithm } from '@nest-hsm/hsm';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { ConnectionOptions } from 'node:tls';
import { makeIdentity, credentialOf, softwareSigner } from '../test/identity.js';
import { connectTls, deferred, eventually, listen, readAll } from '../test/listen.js';
import { thrownBy } from '../test/thrown-by.js';
import { loadAddon, type SessionDescription } from './addon.js';
import type { TerminatorConfig } from './config.js';
import { TlsOffloadError } from './errors.js';
import type { SignatureEvent } from './handshake-signer.js';
import type { TlsSocket } from './socket.js';
import type { HandshakeEvent } from './observer.js';
import { TlsTerminator } from './terminator.js';

const identities = {
  'ec-p256': makeIdentity('ec-p256'),
  'ec-p384': makeIdentity('ec-p384'),
  'ec-p521': makeIdentity('ec-p521'),
  'rsa-2048': makeIdentity('rsa-2048'),
  ed25519: makeIdentity('ed25519'),
} as const;

const echo = (socket: TlsSocket): void => void socket.pipe(socket);

describe('a handshake', () => {
  const versions = ['TLSv1.2', 'TLSv1.3'] as const;
  const algorithms = Object.keys(identities) as (keyof typeof identities)[];
  const rows = versions.flatMap((version) =>
    algorithms.map((algorithm): [typeof version, typeof algorithm] => [version, algorithm]),
  );

  it.each(rows)('is made in %s with a key of kind %s', async (version, algorithm) => {
    const identity = identities[algorithm];
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity)] });
    await using listener = await listen(terminator, echo);
    const client = await connectTls({
      port: listener.port,
      ca: identity.certificatePem,
      minVersion: version,
      maxVersion: version,
    });
    expect(client.getProtocol()).toBe(version);
    client.end('hello');
    expect((await readAll(client)).toString()).toBe('hello');
    expect(terminator.statistics.completed).toEqual({ [version]: 1 });
    expect(terminator.statistics.signatures[identity.key.label].signed).toBe(1);
  });

  it('succeeds though an observer throws, and is counted once', async () => {
    const identity = identities['ec-p256'];
    const thrower = (): never => {
      throw new Error('thrown by an observer');
    };
    const observer = { handshakeEnded: thrower, signatureEnded: thrower };
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity)], observer });
    await using listener = await listen(terminator, echo);
    const client = await connectTls({ port: listener.port, ca: identity.certificatePem });
    client.end('hello');
    expect((await readAll(client)).toString()).toBe('hello');
    expect(terminator.statistics.signatures[identity.key.label]).toMatchObject({ signed: 1, failed: 0 });
  });

  it('that nobody can describe has failed, and leaves no session', async () => {
    const identity = identities['ec-p256'];
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity)] });
    await using listener = await listen(terminator, echo);
    const addon = loadAddon() as { Session: unknown };
    const { Session } = loadAddon();
    addon.Session = class extends Session {
      override describe(): never {
        throw new Error('no memory');
      }
    };
    try {
      const client = await connectTls({ port: listener.port, ca: identity.certificatePem });
      await once(client.on('error', () => undefined).resume(), 'close');
    } finally {
      addon.Session = Session;
    }
    expect(terminator.statistics).toMatchObject({ failed: { ERR_TLS_OFFLOAD_HANDSHAKE_FAILED: 1 }, open: 0 });
    expect(loadAddon().counters().liveSessions).toBe(0);
  });

  it('that gets no session leaves its source, and its connection is closed', async () => {
    const identity = identities['ec-p256'];
    const terminator = new TlsTerminator({
      credentials: [credentialOf(identity)],
      sourceLimits: { handshakesAtOnce: 1 },
    });
    await using listener = await listen(terminator, echo);
    const addon = loadAddon() as { Session: unknown };
    const { Session } = addon;
    addon.Session = class {
      constructor() {
        throw new Error('no memory');
      }
    };
    try {
      await expect(connectTls({ port: listener.port, ca: identity.certificatePem })).rejects.toThrow();
    } finally {
      addon.Session = Session;
    }
    expect(listener.failures[0].code).toBe('ERR_TLS_OFFLOAD_HANDSHAKE_FAILED');
    const client = await connectTls({ port: listener.port, ca: identity.certificatePem });
    client.end('hello');
    expect((await readAll(client)).toString()).toBe('hello');
    expect(terminator.statistics.handshaking).toBe(0);
  });

  const schemes = [
    ['rsa-2048', 'TLSv1.2', 'RSA+SHA256'],
    ['rsa-2048', 'TLSv1.2', 'RSA+SHA512'],
    ['rsa-2048', 'TLSv1.2', 'RSA-PSS+SHA384'],
    ['rsa-2048', 'TLSv1.3', 'rsa_pss_rsae_sha256'],
    ['rsa-2048', 'TLSv1.3', 'rsa_pss_rsae_sha512'],
    ['ec-p256', 'TLSv1.2', 'ECDSA+SHA384'],
  ] as const;
  it.each(schemes)('is signed by a %s key in %s as %s', async (algorithm, version, sigalgs) => {
    const identity = identities[algorithm];
    await using listener = await listen(new TlsTerminator({ credentials: [credentialOf(identity)] }), echo);
    const client = await connectTls({
      port: listener.port,
      ca: identity.certificatePem,
      minVersion: version,
      maxVersion: version,
      sigalgs,
    });
    expect(client.authorized).toBe(true);
    client.destroy();
  });

  it('is told to an observer, with its signature, when it has come to its end', async () => {
    const identity = identities['ec-p256'];
    const handshakes: HandshakeEvent[] = [];
    const signatures: SignatureEvent[] = [];
    const terminator = new TlsTerminator({
      credentials: [credentialOf(identity)],
      observer: {
        handshakeEnded: (event) => handshakes.push(event),
        signatureEnded: (event) => signatures.push(event),
      },
    });
    await using listener = await listen(terminator, echo);
    const client = await connectTls({ port: listener.port, ca: identity.certificatePem });
    await eventually(() => handshakes.length === 1);
    client.destroy();
    await expect(connectTls({ port: listener.port, ALPNProtocols: ['none of ours'] })).rejects.toThrow();
    await eventually(() => handshakes.length === 2);
    expect(handshakes).toMatchObject([
      { code: 'OK', protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' },
      { code: 'ERR_TLS_OFFLOAD_HANDSHAKE_FAILED' },
    ]);
    expect(signatures).toMatchObject([{ key: identity.key.label, result: 'signed' }]);
    for (const { milliseconds } of [...handshakes, ...signatures]) expect(milliseconds).toBeGreaterThanOrEqual(0);
  });

  it('prefers the hybrid key exchange', async () => {
    const identity = identities['ec-p256'];
    let group = '';
    await using listener = await listen(new TlsTerminator({ credentials: [credentialOf(identity)] }), (socket) => {
      group = socket.getKeyExchangeGroup();
      socket.end();
    });
    const client = await connectTls({ port: listener.port, ca: identity.certificatePem });
    await readAll(client);
    expect(group).toBe('X25519MLKEM768');
  });

  it('gives no session ticket and resumes none', async () => {
    const identity = identities['ec-p256'];
    await using listener = await listen(new TlsTerminator({ credentials: [credentialOf(identity)] }), echo);
    for (const version of versions) {
      const sessions: Buffer[] = [];
      const options = { port: listener.port, ca: identity.certificatePem, minVersion: version, maxVersion: version };
      const first = await connectTls(options);
      first.on('session', (session: Buffer) => sessions.push(session));
      first.end('x');
      await readAll(first);
      const second = await connectTls({ ...options, session: first.getSession() });
      expect(second.isSessionReused()).toBe(false);
      expect(second.getTLSTicket()).toBeUndefined();
      second.destroy();
      if (version === 'TLSv1.3') expect(sessions).toEqual([]);
    }
  });

  const refusals = [
    ['CBC cipher', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' }],
    ['TLS 1.1', { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }],
    ['no common application protocol', { ALPNProtocols: ['smtp'] }],
    ['SHA-1 signature', { maxVersion: 'TLSv1.2', sigalgs: 'ECDSA+SHA1', ciphers: 'ALL:@SECLEVEL=0' }],
  ] as const;
  it.each(refusals)('is refused to a client with %s', async (_what, options) => {
    const identity = identities['ec-p256'];
    await using listener = await listen(new TlsTerminator({ credentials: [credentialOf(identity)] }), echo);
    const attempt = connectTls({ ...(options as object), port: listener.port, ca: identity.certificatePem });
    await expect(attempt).rejects.toThrow(/alert|no application protocol|handshake failure/);
    expect(listener.failures.map(({ code }) => code)).toEqual(['ERR_TLS_OFFLOAD_HANDSHAKE_FAILED']);
  });

  it('negotiates the application protocol in our order of preference', async () => {
    const identity = identities['ec-p256'];
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity)], alpnProtocols: ['b', 'a'] });
    const seen: (string | false)[] = [];
    await using listener = await listen(terminator, (socket) => {
      seen.push(socket.alpnProtocol);
      socket.end();
    });
    for (const ALPNProtocols of [['a', 'b'], ['a'], undefined]) {
      const client = await connectTls({ port: listener.port, ca: identity.certificatePem, ALPNProtocols });
      await readAll(client);
    }
    expect(seen).toEqual(['b', 'a', false]);
  });

  const choices: readonly [string, TerminatorConfig, ConnectionOptions, Partial<SessionDescription>][] = [
    [
      'cipher suite',
      { cipherSuites: ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384'] },
      {},
      { cipher: 'TLS_AES_128_GCM_SHA256' },
    ],
    ['group', { groups: ['P-384', 'X25519'] }, { ecdhCurve: 'P-384:X25519' }, { group: 'secp384r1' }],
    [
      'hybrid group',
      { groups: ['SecP256r1MLKEM768'] },
      { ecdhCurve: 'SecP256r1MLKEM768' },
      { group: 'SecP256r1MLKEM768' },
    ],
  ];
  it.each(choices)('takes the configured %s', async (_what, config, options, expected) => {
    const identity = identities['ec-p256'];
    let seen: Partial<SessionDescription> = {};
    const terminator = new TlsTerminator({ ...config, credentials: [credentialOf(identity)] });
    await using listener = await listen(terminator, (socket) => {
      seen = { cipher: socket.getCipher().name, group: socket.getKeyExchangeGroup() };
      socket.end();
    });
    await readAll(await connectTls({ ...options, port: listener.port, ca: identity.certificatePem }));
    expect(seen).toMatchObject(expected);
  });

  it('speaks TLS 1.3 alone where no cipher suite of TLS 1.2 is configured', async () => {
    const credentials = [credentialOf(identities['ec-p256'])];
    const terminator = new TlsTerminator({ credentials, cipherSuites: ['TLS_AES_256_GCM_SHA384'] });
    await using listener = await listen(terminator, echo);
    await expect(connectTls({ port: listener.port, maxVersion: 'TLSv1.2' })).rejects.toThrow(/protocol version/);
  });

  it('keeps to TLS 1.3 when asked to', async () => {
    const identity = identities['ec-p256'];
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity)], minimumVersion: 'TLSv1.3' });
    await using listener = await listen(terminator, echo);
    await expect(connectTls({ port: listener.port, maxVersion: 'TLSv1.2' })).rejects.toThrow(/protocol version/);
  });
});

describe('the credential', () => {
  const byName = {
    main: makeIdentity('ec-p256', ['localhost']),
    mainRsa: makeIdentity('rsa-2048', ['localhost']),
    other: makeIdentity('ec-p256', ['other.example']),
    wild: makeIdentity('ec-p256', ['*.wild.example']),
  };
  const newTerminator = (config: TerminatorConfig = {}): TlsTerminator => {
    const signer = softwareSigner(...Object.values(byName));
    return new TlsTerminator({
      ...config,
      credentials: [credentialOf(byName.main, signer), credentialOf(byName.mainRsa, signer)],
      serverNames: {
        'Other.example': [credentialOf(byName.other, signer)],
        '*.wild.example': [credentialOf(byName.wild, signer)],
      },
    });
  };

  const rows: readonly [string | undefined, keyof typeof byName][] = [
    ['localhost', 'main'],
    [undefined, 'main'],
    ['unknown.example', 'main'],
    ['other.example', 'other'],
    ['OTHER.EXAMPLE', 'other'],
    ['a.wild.example', 'wild'],
    ['a.b.wild.example', 'main'],
    ['wild.example', 'main'],
  ];
  it.each(rows)('for server name %s is %s', async (servername, expected) => {
    await using listener = await listen(newTerminator(), echo);
    const client = await connectTls({ port: listener.port, servername: servername ?? '', rejectUnauthorized: false });
    expect(client.getPeerX509Certificate()?.raw).toEqual(new X509Certificate(byName[expected].certificatePem).raw);
    client.destroy();
  });

  const known: readonly (readonly [string, keyof typeof byName])[] = [
    ['', 'main'],
    ['localhost', 'main'],
    ['other.example', 'other'],
    ['a.wild.example', 'wild'],
  ];
  it.each(known)('where unknown names are refused, is for name "%s": %s', async (servername, expected) => {
    await using listener = await listen(newTerminator({ unknownServerNames: 'refuse' }), echo);
    const client = await connectTls({ port: listener.port, servername, rejectUnauthorized: false });
    expect(client.getPeerX509Certificate()?.raw).toEqual(new X509Certificate(byName[expected].certificatePem).raw);
    client.destroy();
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'is none for a %s client of an unknown name that is refused',
    async (version) => {
      await using listener = await listen(newTerminator({ unknownServerNames: 'refuse' }), echo);
      for (const servername of ['unknown.example', 'a.b.wild.example']) {
        const attempt = connectTls({ port: listener.port, servername, maxVersion: version, minVersion: version });
        await expect(attempt).rejects.toThrow(/unrecognized name/);
      }
      expect(listener.failures.map(({ message }) => message)).toEqual(
        Array(2).fill(expect.stringContaining('unrecognized name')),
      );
    },
  );

  it('is another one once replaced, for handshakes to come, while open connections go on', async () => {
    const signer = softwareSigner(...Object.values(byName));
    const terminator = newTerminator();
    await using listener = await listen(terminator, echo);
    const subject = async (servername: string): Promise<string | undefined> => {
      const client = await connectTls({ port: listener.port, servername, rejectUnauthorized: false });
      const certificate = client.getPeerX509Certificate();
      client.destroy();
      return certificate?.subject;
    };
    const open = await connectTls({ port: listener.port, ca: byName.main.certificatePem });
    // One handshake waits for its signature across the replacement.
    const held = deferred<void>();
    signer.before = () => held.promise;
    terminator.setCredentials({ credentials: [credentialOf(byName.main, signer)] });
    const waiting = connectTls({ port: listener.port, ca: byName.main.certificatePem });
    await eventually(() => signer.calls === 1);
    signer.before = () => Promise.resolve();

    terminator.setCredentials({
      credentials: [credentialOf(byName.wild, signer)],
      serverNames: { localhost: [credentialOf(byName.mainRsa, signer)] },
    });
    expect(await subject('other.example')).toBe('CN=*.wild.example');
    const rsa = await connectTls({ port: listener.port, ca: byName.mainRsa.certificatePem });
    expect(rsa.getPeerX509Certificate()?.publicKey.asymmetricKeyType).toBe('rsa');
    rsa.destroy();
    held.resolve();
    (await waiting).destroy();
    open.end('still here');
    expect((await readAll(open)).toString()).toBe('still here');
    expect(terminator.statistics.signatures[byName.main.key.label].signed).toBe(2);
  });

  it('stays as it was when what should replace it is refused', async () => {
    const terminator = newTerminator();
    await using listener = await listen(terminator, echo);
    expect(thrownBy(() => terminator.setCredentials({ credentials: [] }))).toMatchObject({
      code: 'ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED',
    });
    (await connectTls({ port: listener.port, ca: byName.main.certificatePem })).destroy();
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('is the RSA one for a client of %s that has no ECDSA', async (version) => {
    await using listener = await listen(newTerminator(), echo);
    const client = await connectTls({
      port: listener.port,
      ca: byName.mainRsa.certificatePem,
      minVersion: version,
      maxVersion: version,
      sigalgs: 'rsa_pss_rsae_sha256:RSA+SHA256',
    });
    expect(client.getPeerX509Certificate()?.publicKey.asymmetricKeyType).toBe('rsa');
    client.destroy();
  });

  const refused: readonly [string, readonly AsymmetricKeyAlgorithm[], RegExp][] = [
    ['none', [], /want at least one/],
    ['two of one kind', ['ec-p256', 'ec-p384'], /for clients that name no server: want at most one .* both EC$/],
  ];
  it.each(refused)('is refused when there are %s', (_what, algorithms, message) => {
    const create = (): TlsTerminator =>
      new TlsTerminator({ credentials: algorithms.map((algorithm) => credentialOf(makeIdentity(algorithm))) });
    expect(create).toThrow(TlsOffloadError);
    expect(create).toThrow(message);
  });
});

describe('the configuration', () => {
  it('lists all its faults together', () => {
    const create = (): TlsTerminator =>
      new TlsTerminator({ credentials: [], handshakeTimeoutMilliseconds: 1, pendingSignatureLimit: 0 });
    expect(create).toThrow(
      /handshakeTimeoutMilliseconds[\s\S]*pendingSignatureLimit|pendingSignatureLimit[\s\S]*handshakeTimeoutMilliseconds/,
    );
  });
});
