import type { AsymmetricKeyAlgorithm } from '@nest-hsm/hsm';
import { X509Certificate } from 'node:crypto';
import { makeIdentity, credentialOf, softwareSigner } from '../test/identity.js';
import { connectTls, listen, readAll } from '../test/listen.js';
import { TlsOffloadError } from './errors.js';
import type { TlsSocket } from './socket.js';
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
  const newTerminator = (): TlsTerminator => {
    const signer = softwareSigner(...Object.values(byName));
    return new TlsTerminator({
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
    ['two of one kind', ['ec-p256', 'ec-p256'], /not replacing certificate/],
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
