import { signatureSchemes } from '@nest-hsm/hsm';
import { readdirSync, readFileSync } from 'node:fs';
import { thrownBy } from '../test/thrown-by.js';
import { describeLoadFailure, loadAddon } from './addon.js';

describe('the native addon', () => {
  it('loads, having signed through a delegated key', () => {
    expect(loadAddon().counters()).toEqual({ liveSessions: 0, pausedJobs: 0 });
    expect(loadAddon()).toBe(loadAddon());
  });

  const faults: readonly [string, string, RegExp][] = [
    ['OpenSSL is not exported', '/x.node: undefined symbol: SSL_get0_group_name', /exports OpenSSL 3\.5 or later/],
    ['there is no binary', 'No native build was found for platform=linux', /a binary for \w+ \w+, got none/],
    ['the self-test fails', 'want a delegated signature, got: unknown reason', /want a delegated signature/],
  ];
  it.each(faults)('says in one sentence when %s', (_what, message, expected) => {
    const sentence = describeLoadFailure(new Error(message));
    expect(sentence).toMatch(expected);
    expect(sentence).not.toContain('\n');
  });

  it('cannot write the secrets of connections: that takes a binary compiled for it', () => {
    const directory = new URL(`../prebuilds/${process.platform}-${process.arch}/`, import.meta.url);
    const binaries = readdirSync(directory).filter((name) => name.endsWith('.node'));
    expect(binaries.length).toBeGreaterThan(0);
    for (const name of binaries) expect(readFileSync(new URL(name, directory)).includes('SSLKEYLOGFILE')).toBe(false);
  });

  it('names every scheme as the HSM provider does', () => {
    const source = readFileSync(new URL('../native/src/delegated_signature.cc', import.meta.url), 'utf8');
    const named = [...source.matchAll(/"((?:ecdsa|rsa)-[a-z0-9-]+|ed25519)"/g)].map(([, name]) => name);
    expect(new Set(named)).toEqual(new Set(Object.keys(signatureSchemes)));
  });

  const misuses: readonly [string, (addon: ReturnType<typeof loadAddon>) => unknown][] = [
    ['a context of nothing', ({ ServerContext }) => new ServerContext(undefined as never)],
    ['a context of other shapes', ({ ServerContext }) => new ServerContext({ credentials: 1 } as never)],
    ['a session without a context', ({ Session }) => new Session({} as never)],
    ['a session of a session', ({ Session }) => new Session(Object.create(Session.prototype as object) as never)],
    [
      'a certificate that is none',
      ({ ServerContext }) =>
        new ServerContext({
          credentials: [{ serverNames: [], certificates: [{ chain: [Buffer.from('x')], keyIndex: 0 }] }],
          alpnProtocols: [],
          tls13Only: false,
          refuseUnknownNames: false,
          ciphersTls12: 'ECDHE-ECDSA-AES256-GCM-SHA384',
          ciphersTls13: 'TLS_AES_256_GCM_SHA384',
          groups: 'X25519',
          signatureAlgorithms: 'ed25519',
        }),
    ],
  ];
  it.each(misuses)('refuses %s', (_what, misuse) => {
    // Of another realm than the test's, hence by name.
    expect(thrownBy(() => misuse(loadAddon()))).toMatchObject({ name: 'TypeError' });
  });
});
