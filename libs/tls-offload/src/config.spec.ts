import { thrownBy } from '../test/thrown-by.js';
import { cipherSuites, signatureAlgorithms } from './algorithms.js';
import {
  caCredentialConfigSchema,
  clientCertificateConfigSchema,
  l4ProxyConfigSchema,
  parseConfig,
  terminatorConfigSchema,
} from './config.js';

const ca = {
  url: 'http://127.0.0.1:8440',
  tokenFile: '/token',
  dnsNames: ['localhost'],
  keyLabel: 'tls',
  certificateFile: '/certificate.pem',
};

describe('the configuration', () => {
  it('is complete and frozen once parsed', () => {
    const parsed = parseConfig(terminatorConfigSchema, 'TLS terminator', {});
    expect(parsed).toEqual({
      alpnProtocols: ['http/1.1'],
      minimumVersion: 'TLSv1.2',
      cipherSuites,
      groups: ['X25519MLKEM768', 'X25519', 'P-256'],
      signatureAlgorithms,
      unknownServerNames: 'default',
      clientCertificates: {
        mode: 'none',
        crlFiles: [],
        allow: [],
        maximumIntermediates: 4,
        maximumChainBytes: 32_768,
        reloadIntervalMilliseconds: 5_000,
      },
      clientCertificatesByName: {},
      ocspStapling: false,
      sourceLimits: { handshakesAtOnce: 128, burst: 64, trackedSources: 16_384 },
      handshakeTimeoutMilliseconds: 10_000,
      pendingSignatureLimit: 256,
    });
    expect(Object.isFrozen(parsed)).toBe(true);
  });

  const negotiable: readonly [string, Parameters<typeof terminatorConfigSchema.safeParse>[0], boolean][] = [
    ['fewer cipher suites', { cipherSuites: ['TLS_AES_128_GCM_SHA256'] }, true],
    ['cipher suites of TLS 1.2 alone', { cipherSuites: ['ECDHE-RSA-AES128-GCM-SHA256'] }, false],
    ['a CBC cipher', { cipherSuites: ['TLS_AES_128_GCM_SHA256', 'ECDHE-RSA-AES128-SHA256'] }, false],
    ['no cipher suite', { cipherSuites: [] }, false],
    ['another order of groups', { groups: ['P-384', 'X25519'] }, true],
    ['a group twice', { groups: ['X25519', 'X25519'] }, false],
    ['a finite field group', { groups: ['ffdhe2048'] }, false],
    ['one signature algorithm', { signatureAlgorithms: ['ed25519'] }, true],
    ['SHA-1', { signatureAlgorithms: ['rsa_pkcs1_sha1'] }, false],
  ];
  it.each(negotiable)('takes %s: %#', (_what, config, accepted) => {
    expect(terminatorConfigSchema.safeParse(config).success).toBe(accepted);
  });

  const policies: readonly [string, Parameters<typeof clientCertificateConfigSchema.safeParse>[0], boolean][] = [
    ['authorities', { mode: 'optional', caFile: '/ca.pem' }, true],
    ['no authorities', { mode: 'required' }, false],
    ['a rule with two names', { allow: [{ dnsName: 'a', email: 'a@b' }] }, false],
    ['a SPIFFE id without a path', { allow: [{ spiffeId: 'spiffe://example.org' }] }, false],
    ['a SPIFFE id of another scheme', { allow: [{ spiffeId: 'https://example.org/a' }] }, false],
    ['an unbounded chain', { maximumChainBytes: 1e9 }, false],
  ];
  it.each(policies)('takes for clients %s: %#', (_what, config, accepted) => {
    expect(clientCertificateConfigSchema.safeParse(config).success).toBe(accepted);
  });

  const urls: readonly [string, boolean][] = [
    ['http://127.0.0.1:8440', true],
    ['http://localhost:8440', true],
    ['http://[::1]:8440', true],
    ['https://ca.example', true],
    ['http://ca.example', false],
    ['http://127.0.0.1.example', false],
    ['ftp://localhost', false],
    ['localhost', false],
  ];
  it.each(urls)('takes the CA at %s: %s', (url, accepted) => {
    expect(caCredentialConfigSchema.safeParse({ ...ca, url }).success).toBe(accepted);
  });

  it('takes http to another host only when told so', () => {
    const config = { ...ca, url: 'http://ca:8440', unprotectedHttp: true };
    expect(caCredentialConfigSchema.safeParse(config).success).toBe(true);
  });

  it('wants a name to be certified', () => {
    expect(caCredentialConfigSchema.safeParse({ ...ca, dnsNames: [] }).success).toBe(false);
    expect(caCredentialConfigSchema.safeParse({ ...ca, dnsNames: [], ipAddresses: ['::1'] }).success).toBe(true);
  });

  it('lists every fault of a proxy, unknown names included', () => {
    const parse = () =>
      parseConfig(l4ProxyConfigSchema, 'L4 proxy', { upstream: { host: '', port: 0 }, idle: 1 } as never);
    expect(thrownBy(parse)).toMatchObject({ code: 'ERR_TLS_OFFLOAD_CONFIG_INVALID' });
    for (const fault of [/^L4 proxy:/, /idle/, /upstream\.host/, /upstream\.port/]) expect(parse).toThrow(fault);
  });
});
