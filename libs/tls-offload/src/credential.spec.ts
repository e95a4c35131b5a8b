import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentialOf, type Identity, makeIdentity, softwareSigner } from '../test/identity.js';
import { thrownBy } from '../test/thrown-by.js';
import { parseCertificateChain, remainingLife } from './certificate-chain.js';
import { Credential } from './credential.js';

const identity = makeIdentity('ec-p256');
const other = makeIdentity('ec-p256');
const signer = softwareSigner(identity);
const day = 24 * 60 * 60 * 1000;

describe('a credential', () => {
  it('is a chain and the key of its leaf', () => {
    const credential = credentialOf(identity);
    expect(credential.key).toBe(identity.key);
    expect(credential.chain).toHaveLength(1);
    expect(credential.notAfter.getTime()).toBeGreaterThan(Date.now() + 29 * day);
  });

  it('is refused when the certificate is for another key', () => {
    expect(thrownBy(() => Credential.fromPem(other.certificatePem, identity.key, signer))).toMatchObject({
      code: 'ERR_TLS_OFFLOAD_KEY_MISMATCH',
    });
  });

  it('is refused when the key is not one that signs', () => {
    const key = { ...identity.key, usage: 'unwrap' as const };
    expect(thrownBy(() => Credential.fromPem(identity.certificatePem, key, signer))).toMatchObject({
      code: 'ERR_TLS_OFFLOAD_KEY_MISMATCH',
    });
  });
});

describe('a certificate chain', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-chain-'));
  afterAll(() => rmSync(directory, { recursive: true }));
  const { leaf, root } = issue(directory, identity);

  const parse = (pem: string, now?: Date) => parseCertificateChain(pem, 'test', now);

  it('is parsed leaf first, whatever stands between the certificates', () => {
    const chain = parse(`# a comment\n${leaf}\nsubject=…\n${root}`);
    expect(chain.map(({ ca }) => ca)).toEqual([false, true]);
  });

  const refused: readonly [string, () => string, RegExp][] = [
    ['nothing', () => '', /got 0/],
    ['text', () => 'hello', /got 0/],
    ['eleven certificates', () => leaf.repeat(11), /got 11/],
    [
      'garbage in PEM',
      () => '-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n',
      /certificate 1: want X\.509/,
    ],
    ['a chain in the wrong order', () => root + leaf, /certificate 1 signed by another/],
    ['strangers', () => leaf + other.certificatePem, /certificate 1 signed by another/],
    ["a CA's certificate", () => root, /got a CA's/],
  ];
  it.each(refused)('is refused when it is %s', (_what, pem, message) => {
    expect(thrownBy(() => parse(pem()))).toMatchObject({ code: 'ERR_TLS_OFFLOAD_CERTIFICATE_INVALID' });
    expect(() => parse(pem())).toThrow(message);
  });

  it.each([
    ['before', -2 * day],
    ['after', 60 * day],
  ])('is refused %s its time', (_when, offset) => {
    expect(() => parse(identity.certificatePem, new Date(Date.now() + offset))).toThrow(/want a certificate valid at/);
  });

  it('has less life from day to day', () => {
    const [certificate] = parse(identity.certificatePem);
    const left = (days: number): number => remainingLife(certificate, new Date(Date.now() + days * day));
    expect(left(0)).toBeGreaterThan(0.99);
    expect(left(15)).toBeCloseTo(0.5, 1);
    expect(left(31)).toBeLessThan(0);
  });
});

function issue(directory: string, { privateKey }: Identity): { leaf: string; root: string } {
  const file = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' });
  writeFileSync(file('leaf.key'), privateKey.export({ format: 'pem', type: 'pkcs8' }));
  writeFileSync(file('extensions'), 'subjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\n');
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const root = openssl('req', '-x509', ...curve, '-keyout', file('root.key'), '-subj', '/CN=root', '-days', '9');
  writeFileSync(file('root.pem'), root);
  openssl('req', '-new', '-key', file('leaf.key'), '-subj', '/CN=localhost', '-out', file('leaf.csr'));
  const issuer = ['-CA', file('root.pem'), '-CAkey', file('root.key'), '-CAcreateserial'];
  const leaf = openssl(
    'x509',
    '-req',
    '-in',
    file('leaf.csr'),
    ...issuer,
    '-extfile',
    file('extensions'),
    '-days',
    '5',
  );
  return { leaf, root };
}
