import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from '@peculiar/x509';
import fc from 'fast-check';
import {
  buildCsr,
  challengePassword,
  commonName,
  dns,
  extension,
  extensionRequest,
  ip,
  noName,
  rsaKey,
  sequence,
  subjectAltName,
  tlv,
  toPem,
} from '../../../../test/support/csr.js';
import { CaError } from '../errors.js';
import { maximumCsrBytes, parseCsr, requestedAttribute } from './csr.js';
import { readPublicKey } from './key-policy.js';
import { verifyProofOfPossession } from './proof-of-possession.js';

test('reads names, normalised, each once', () => {
  const names = [
    dns('A.Example.test'),
    dns('a.example.test'),
    ip([127, 0, 0, 1]),
    ip([...Array<number>(15).fill(0), 1]),
  ];
  const request = parseCsr(
    buildCsr({
      subject: commonName('www.example.test'),
      attributes: [challengePassword, extensionRequest(subjectAltName(...names))],
    }),
  );
  expect(requestedAttribute(request, 'commonName')).toBe('www.example.test');
  expect(request.names).toEqual([
    { type: 'dns', value: 'a.example.test' },
    { type: 'ip', value: '127.0.0.1' },
    { type: 'ip', value: '::1' },
  ]);
});

test.each([0x13, 0x16])('an attribute of type %i with octets that the type does not have is no text', (type) => {
  const attribute = sequence(tlv(0x06, Buffer.from('550403', 'hex')), tlv(type, Buffer.from('M\xfcller', 'latin1')));
  const request = parseCsr(buildCsr({ subject: sequence(tlv(0x31, attribute)) }));
  expect(() => requestedAttribute(request, 'commonName')).toThrow(
    expect.objectContaining({ code: 'ERR_CA_CSR_MALFORMED' }) as Error,
  );
});

test('agrees with a general library about its requests', async () => {
  const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-384' }, true, ['sign', 'verify']);
  const extensions = [
    new SubjectAlternativeNameExtension([
      { type: 'dns', value: 'b.example.test' },
      { type: 'ip', value: '10.0.0.1' },
    ]),
  ];
  const csr = await Pkcs10CertificateRequestGenerator.create({
    name: 'CN=a.example.test',
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-384' },
    extensions,
  });
  const request = parseCsr(csr.toString('pem'));
  expect(requestedAttribute(request, 'commonName')).toBe('a.example.test');
  expect(request.names.map(({ value }) => value)).toEqual(['b.example.test', '10.0.0.1']);
  await verifyProofOfPossession(request, readPublicKey(request.subjectPublicKeyInfo));
});

describe('a request signed with RSASSA-PSS', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-pss-'));
  afterAll(() => rmSync(directory, { recursive: true }));
  const key = join(directory, 'key.pem');
  writeFileSync(key, rsaKey(2048).privateKey.export({ format: 'pem', type: 'pkcs8' }));
  const made = (hash: string, ...options: string[]): Buffer => {
    const pss = ['rsa_padding_mode:pss', ...options].flatMap((option) => ['-sigopt', option]);
    return execFileSync('openssl', ['req', '-new', '-key', key, '-subj', '/CN=a', `-${hash}`, ...pss, '-outform', 'DER'], { stdio: 'pipe' }); // prettier-ignore
  };
  const verify = async (csr: Buffer): Promise<void> => {
    const request = parseCsr(csr);
    await verifyProofOfPossession(request, readPublicKey(request.subjectPublicKeyInfo));
  };

  test.each(['sha256', 'sha384', 'sha512'])('with %s and a salt as long is accepted', async (hash) => {
    const csr = made(hash, 'rsa_pss_saltlen:digest');
    await expect(verify(csr)).resolves.toBeUndefined();
    const forged = Buffer.from(csr);
    forged[forged.length - 1] ^= 1;
    await expect(verify(forged)).rejects.toMatchObject({ code: 'ERR_CA_CSR_SIGNATURE_INVALID' });
  });

  test.each([
    ['another salt', 'sha256', ['rsa_pss_saltlen:20']],
    ['no salt', 'sha256', ['rsa_pss_saltlen:0']],
    ['another hash of MGF1', 'sha256', ['rsa_pss_saltlen:digest', 'rsa_mgf1_md:sha512']],
    ['SHA-1', 'sha1', ['rsa_pss_saltlen:digest']],
    ['SHA-224', 'sha224', ['rsa_pss_saltlen:digest']],
  ])('with %s is refused', async (_, hash, options) => {
    await expect(verify(made(hash, ...options))).rejects.toMatchObject({
      code: 'ERR_CA_CSR_SIGNATURE_INVALID',
      message: expect.stringMatching(/got other parameters/) as string,
    });
  });
});

test.each([
  ['DER', (der: Buffer) => der],
  ['PEM text', (der: Buffer) => toPem(der)],
  ['PEM octets', (der: Buffer) => Buffer.from(toPem(der))],
  ['PEM with the older label', (der: Buffer) => toPem(der, 'NEW CERTIFICATE REQUEST')],
  ['PEM with CRLF and space around', (der: Buffer) => `\r\n${toPem(der).replaceAll('\n', '\r\n')}\r\n `],
])('takes %s', (_, form) => {
  expect(requestedAttribute(parseCsr(form(buildCsr())), 'commonName')).toBe('www.example.test');
});

const basicConstraints = (...content: Buffer[]): Buffer =>
  buildCsr({ attributes: [extensionRequest(extension('551d13', sequence(...content)))] });
const [no, yes, pathLength] = [tlv(0x01, [0]), tlv(0x01, [0xff]), tlv(0x02, [0])];

test('BasicConstraints that ask for nothing ask for no CA', () => {
  for (const csr of [basicConstraints(), basicConstraints(no)]) expect(parseCsr(csr).asksForCa).toBe(false);
});

test.each([
  ['cA', basicConstraints(yes)],
  ['cA and pathLen', basicConstraints(yes, pathLength)],
  ['pathLen alone', basicConstraints(pathLength)],
  ['pathLen without cA', basicConstraints(no, pathLength)],
])('BasicConstraints with %s ask for a CA', (_, csr) => {
  expect(parseCsr(csr).asksForCa).toBe(true);
});

test('refuses an attribute with more than a type and values', () => {
  const attribute = sequence(challengePassword.subarray(2), [0x05, 0x00]);
  expect(() => parseCsr(buildCsr({ attributes: [attribute] }))).toThrow(
    'want a type and values in an attribute, got more',
  );
});

test('refuses more octets than the bound before looking at them', () => {
  expect(() => parseCsr(Buffer.alloc(maximumCsrBytes + 1, 0x30))).toThrow(
    expect.objectContaining({ code: 'ERR_CA_CSR_TOO_LARGE' }) as Error,
  );
});

test('whatever is done to a request, it is accepted as it was or refused with a code', async () => {
  const sound = buildCsr({ subject: noName, attributes: [extensionRequest(subjectAltName(dns('a.example.test')))] });
  const changes = fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(changes, async (edits) => {
      const input = Buffer.from(sound);
      for (const [at, value] of edits) input[at] = value;
      try {
        const request = parseCsr(input);
        await verifyProofOfPossession(request, readPublicKey(request.subjectPublicKeyInfo));
      } catch (error) {
        expect(error).toBeInstanceOf(CaError);
        return;
      }
      expect(input.equals(sound)).toBe(true);
    }),
    { numRuns: 3_000, seed: 20261122 },
  );
});
