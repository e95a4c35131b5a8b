import 'reflect-metadata';
import { Hsm } from '@nest-hsm/hsm';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestToken } from '../../../../test/support/token.js';
import { dueCertificate } from '../../test/due-certificate.js';
import { makeIdentity } from '../../test/identity.js';
import { OpensslCa } from '../../test/openssl-ca.js';
import type { CaCredentialConfig } from '../config.js';
import type { TlsOffloadError } from '../errors.js';
import { credentialFromCa } from './ca.js';
import { makeCertificateRequest } from './certificate-request.js';
import { credentialFromFile, FileCredentialSource } from './file.js';
import type { CredentialPurpose } from './self-handshake.js';

const token = new TestToken('tls');
const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-credential-'));
const ca = new OpensslCa();
let hsm: Hsm;
let config: CaCredentialConfig;
let count = 0;

beforeAll(async () => {
  hsm = await Hsm.open(token.config());
});
afterAll(async () => {
  await hsm.close();
  token.remove();
  ca.remove();
  rmSync(directory, { recursive: true });
});

describe('a certificate from a CA', () => {
  beforeEach(async () => {
    await ca.listen();
    ca.behaviour = {};
    ca.requests.length = 0;
    count++;
    config = {
      url: ca.url,
      tokenFile: ca.tokenFile,
      dnsNames: ['localhost', 'Service.example'],
      ipAddresses: ['127.0.0.1', '::1'],
      keyLabel: `key-${count}`,
      certificateFile: join(directory, `nested-${count}`, 'certificate.pem'),
    };
  });
  afterEach(() => ca.stop());

  it.each(['ec-p256', 'ec-p384', 'rsa-2048', 'ed25519'] as const)(
    'is issued for a new %s key',
    async (keyAlgorithm) => {
      const credential = await credentialFromCa(hsm, { ...config, keyAlgorithm });
      expect(credential.key).toMatchObject({ label: config.keyLabel, algorithm: keyAlgorithm, usage: 'sign' });
      expect(ca.requests).toHaveLength(1);
      const [{ url, headers }] = ca.requests;
      expect(url).toBe('/v1/certificates?profile=tls-server');
      expect(headers).toMatchObject({
        authorization: 'Bearer a set-up token',
        'content-type': 'application/x-pem-file',
      });
      const verdict = execFileSync('openssl', ['verify', '-CAfile', ca.rootFile, config.certificateFile], {
        encoding: 'utf8',
      });
      expect(verdict).toContain('OK');
      const text = execFileSync(
        'openssl',
        ['x509', '-in', config.certificateFile, '-noout', '-ext', 'subjectAltName'],
        { encoding: 'utf8' },
      );
      for (const name of ['DNS:localhost', 'DNS:Service.example', 'IP Address:127.0.0.1']) expect(text).toContain(name);
      expect(readdirSync(join(config.certificateFile, '..'))).toEqual(['certificate.pem', 'certificate.pem.lock']);
    },
  );

  it('is used again while more than a third of its life remains', async () => {
    const first = await credentialFromCa(hsm, config);
    const second = await credentialFromCa(hsm, config);
    expect(second.chain[0].raw).toEqual(first.chain[0].raw);
    expect(second.key.id).toBe(first.key.id);
    expect(ca.requests).toHaveLength(1);
  });

  const reasons: readonly [string, () => unknown][] = [
    ['is for other names', () => (config = { ...config, dnsNames: ['other.example'] })],
    ['was damaged', () => writeFileSync(config.certificateFile, 'damaged')],
    ['is due', async () => writeFileSync(config.certificateFile, await dueCertificate(ca.requests[0].csr))],
  ];
  it.each(reasons)('is issued anew, for the same key, when the stored one %s', async (_what, change) => {
    const first = await credentialFromCa(hsm, config);
    await change();
    const second = await credentialFromCa(hsm, config);
    expect(ca.requests).toHaveLength(2);
    expect(second.key.id).toBe(first.key.id);
    expect(second.chain[0].raw).not.toEqual(first.chain[0].raw);
  });

  it('that is due is served on when the CA is away, and said so', async () => {
    const first = await credentialFromCa(hsm, config);
    writeFileSync(config.certificateFile, await dueCertificate(ca.requests[0].csr));
    const postponed: TlsOffloadError[] = [];
    await ca.stop();
    const second = await credentialFromCa(hsm, config, { renewalPostponed: (error) => postponed.push(error) });
    await ca.listen();
    expect(second.key.id).toBe(first.key.id);
    expect(postponed.map(({ code }) => code)).toEqual(['ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE']);
  });

  it('is asked for again later when the CA is away', async () => {
    await ca.stop();
    await expect(credentialFromCa(hsm, config)).rejects.toMatchObject({ code: 'ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE' });
    await ca.listen(Number(new URL(config.url).port));
    const { key } = await credentialFromCa(hsm, config);
    expect(await hsm.listKeys({ label: key.label })).toHaveLength(1);
  });

  const answers: readonly [string, () => void, string, RegExp][] = [
    [
      'refuses',
      () => (ca.behaviour = { refuse: { status: 403, problem: { code: 'ERR_NAME', detail: 'not allowed' } } }),
      'ERR_TLS_OFFLOAD_ISSUANCE_REFUSED',
      /status 403: ERR_NAME: not allowed/,
    ],
    [
      'is in trouble',
      () => (ca.behaviour = { refuse: { status: 503, problem: { code: 'ERR_DOWN' } } }),
      'ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE',
      /ERR_DOWN/,
    ],
    ['sends nonsense', () => (ca.behaviour = { body: 'nonsense' }), 'ERR_TLS_OFFLOAD_CERTIFICATE_INVALID', /got 0/],
    [
      'sends without end',
      () => (ca.behaviour = { body: 'x'.repeat(400_000) }),
      'ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE',
      /more than 262144 bytes/,
    ],
    [
      'certifies other names',
      () =>
        (ca.behaviour = { extensions: 'basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost,DNS:evil\n' }),
      'ERR_TLS_OFFLOAD_CERTIFICATE_INVALID',
      /without Service\.example, 127\.0\.0\.1, ::1/,
    ],
    [
      'makes us a CA',
      () => (ca.behaviour = { extensions: 'basicConstraints=critical,CA:TRUE\n' }),
      'ERR_TLS_OFFLOAD_CERTIFICATE_INVALID',
      /got a CA's/,
    ],
    [
      'certifies another key',
      () => (ca.behaviour = { body: makeIdentity('ec-p256').certificatePem }),
      'ERR_TLS_OFFLOAD_KEY_MISMATCH',
      /for another key/,
    ],
  ];
  it.each(answers)('is not served when the CA %s', async (_what, change, code, message) => {
    change();
    const attempt = credentialFromCa(hsm, config);
    await expect(attempt).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    expect(existsSync(config.certificateFile)).toBe(false);
  });

  it('wants the key on the token to be of the configured kind', async () => {
    await hsm.generateKeyPair({ label: config.keyLabel, algorithm: 'ec-p384' });
    await expect(credentialFromCa(hsm, config)).rejects.toMatchObject({ code: 'ERR_TLS_OFFLOAD_KEY_MISMATCH' });
  });

  it('wants one key of that label', async () => {
    for (let made = 0; made < 2; made++) await hsm.generateKeyPair({ label: config.keyLabel, algorithm: 'ec-p256' });
    await expect(credentialFromCa(hsm, config)).rejects.toMatchObject({ code: 'ERR_HSM_KEY_AMBIGUOUS' });
  });

  it('wants a token file', async () => {
    const attempt = credentialFromCa(hsm, { ...config, tokenFile: join(directory, 'none') });
    await expect(attempt).rejects.toMatchObject({
      code: 'ERR_TLS_OFFLOAD_CONFIG_INVALID',
      message: expect.stringMatching(/none: want a readable file/),
    });
  });

  it.each([['two lines\nof it'], [''], ['\u{1f511}']])(
    'wants a token that a header can carry, not %j',
    async (token) => {
      const tokenFile = join(directory, 'odd-token');
      writeFileSync(tokenFile, token);
      await expect(credentialFromCa(hsm, { ...config, tokenFile })).rejects.toMatchObject({
        code: 'ERR_TLS_OFFLOAD_CONFIG_INVALID',
        message: expect.not.stringContaining('of it'),
      });
      expect(ca.requests).toEqual([]);
    },
  );

  it('wants a file that it can write', async () => {
    const certificateFile = join(directory, `directory-${count}`);
    mkdirSync(certificateFile);
    const attempt = credentialFromCa(hsm, { ...config, certificateFile });
    await expect(attempt).rejects.toMatchObject({ code: 'ERR_TLS_OFFLOAD_CONFIG_INVALID' });
  });

  it('is given up when the caller aborts', async () => {
    const attempt = credentialFromCa(hsm, config, { signal: AbortSignal.abort() });
    await expect(attempt).rejects.toMatchObject({ code: 'ERR_HSM_ABORTED' });
  });
});

describe('a certificate from a file', () => {
  const file = join(directory, 'by-hand.pem');

  it('is served when it belongs to the key', async () => {
    await ca.listen();
    const key = { keyLabel: 'by-hand', certificateFile: file };
    await credentialFromCa(hsm, { url: ca.url, tokenFile: ca.tokenFile, dnsNames: ['localhost'], ...key });
    await ca.stop();
    const credential = await credentialFromFile(hsm, key);
    expect(credential.key.label).toBe('by-hand');
    expect(credential.chain[0].toString()).toBe(readFileSync(file, 'utf8'));
  });

  it.each(['ec-p256', 'rsa-2048', 'ed25519'] as const)('is proven as what it is for (%s)', async (algorithm) => {
    const keyLabel = `for-one-purpose-${algorithm}`;
    const key = await hsm.generateKeyPair({ label: keyLabel, algorithm });
    const request = await makeCertificateRequest(hsm, key, { dnsNames: ['alice'], ipAddresses: [] });
    const certificateFile = join(directory, `${keyLabel}.pem`);
    const proven = async (usage: string, purposes: readonly CredentialPurpose[]): Promise<string> => {
      ca.behaviour = { extensions: `basicConstraints=critical,CA:FALSE\nextendedKeyUsage=${usage}\n` };
      writeFileSync(certificateFile, ca.issue(request));
      const looked = new FileCredentialSource(hsm, { keyLabel, certificateFile }, purposes).look(undefined);
      return looked.then(
        () => 'proven',
        ({ code, message }: TlsOffloadError) => `${code}: ${message}`,
      );
    };
    expect(await proven('clientAuth', ['client'])).toBe('proven');
    expect(await proven('clientAuth,serverAuth', ['client', 'server'])).toBe('proven');
    const invalid = 'ERR_TLS_OFFLOAD_CERTIFICATE_INVALID: certificate for key .*';
    expect(await proven('serverAuth', ['client'])).toMatch(
      new RegExp(`${invalid}want a server to take it, got INVALID_PURPOSE`),
    );
    expect(await proven('clientAuth', ['server', 'client'])).toMatch(new RegExp(`${invalid}want a client to take it`));
    ca.behaviour = {};
  });

  it('is refused when it belongs to another', async () => {
    await hsm.generateKeyPair({ label: 'another', algorithm: 'ec-p256' });
    const attempt = credentialFromFile(hsm, { keyLabel: 'another', certificateFile: file });
    await expect(attempt).rejects.toMatchObject({ code: 'ERR_TLS_OFFLOAD_KEY_MISMATCH' });
  });

  it('is refused when there is no such key, or no such file', async () => {
    const noKey = credentialFromFile(hsm, { keyLabel: 'nobody', certificateFile: file });
    await expect(noKey).rejects.toMatchObject({ code: 'ERR_HSM_KEY_NOT_FOUND' });
    const noFile = credentialFromFile(hsm, { keyLabel: 'by-hand', certificateFile: `${file}.none` });
    await expect(noFile).rejects.toMatchObject({ code: 'ERR_TLS_OFFLOAD_CERTIFICATE_INVALID' });
  });
});
