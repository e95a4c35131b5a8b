import 'reflect-metadata';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BasicConstraintsExtension, Pkcs10CertificateRequestGenerator, X509CertificateGenerator } from '@peculiar/x509';
import { webcrypto } from 'node:crypto';
import { TestToken } from '../../../../test/support/token.js';
import type { AsymmetricKeyAlgorithm } from '../algorithm/key-algorithm.js';
import type { SignatureScheme } from '../algorithm/signature-scheme.js';
import { Hsm } from '../hsm.js';
import { hsmCrypto } from './hsm-crypto.js';
import { cryptoKeyPair } from './token-crypto-key.js';

describe('WebCrypto over an Hsm', () => {
  const token = new TestToken('webcrypto');
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-webcrypto-'));
  let hsm: Hsm;

  beforeAll(async () => {
    hsm = await Hsm.open(token.config());
  });
  afterAll(async () => {
    await hsm.close();
    token.remove();
    rmSync(directory, { recursive: true });
  });

  const keyOf = (algorithm: AsymmetricKeyAlgorithm) => hsm.generateKeyPair({ label: `x509-${algorithm}`, algorithm });
  const file = (name: string, content: string): string => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };
  const openssl = (...args: string[]): string => execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' });

  interface Row {
    algorithm: AsymmetricKeyAlgorithm;
    scheme?: SignatureScheme;
    signingAlgorithm?: Record<string, unknown>;
  }
  const rows: Row[] = [
    { algorithm: 'ec-p256', signingAlgorithm: { hash: 'SHA-256' } },
    { algorithm: 'ec-p384', signingAlgorithm: { hash: 'SHA-384' } },
    { algorithm: 'ec-p521', signingAlgorithm: { hash: { name: 'SHA-512' } } },
    { algorithm: 'rsa-2048' },
    { algorithm: 'rsa-2048', scheme: 'rsa-pkcs1-sha512' },
    { algorithm: 'rsa-2048', scheme: 'rsa-pss-sha256', signingAlgorithm: { saltLength: 32 } },
    { algorithm: 'ed25519' },
  ];

  it.each(rows)('lets @peculiar/x509 make what openssl verifies: $algorithm $scheme $signingAlgorithm', async (row) => {
    const crypto = hsmCrypto(hsm);
    const keys = cryptoKeyPair(await keyOf(row.algorithm), row.scheme);
    const { signingAlgorithm } = row;

    const certificate = await X509CertificateGenerator.createSelfSigned(
      { name: 'CN=token key', keys, signingAlgorithm, extensions: [new BasicConstraintsExtension(true, 0, true)] },
      crypto,
    );
    const pem = file('certificate.pem', certificate.toString('pem'));
    expect(openssl('verify', '-check_ss_sig', '-CAfile', pem, pem)).toContain(': OK');
    await expect(certificate.verify({ signatureOnly: true }, crypto)).resolves.toBe(true);

    const request = await Pkcs10CertificateRequestGenerator.create(
      { name: 'CN=token key', keys, signingAlgorithm },
      crypto,
    );
    const csr = file('request.pem', request.toString('pem'));
    expect(openssl('req', '-in', csr, '-verify', '-noout', '-subject')).toContain('token key');
  });

  it('signs on the token and verifies in software', async () => {
    const { privateKey, publicKey } = cryptoKeyPair(await keyOf('ec-p256'));
    const { subtle } = hsmCrypto(hsm);
    const algorithm = { name: 'ECDSA', hash: 'SHA-256' };
    const bytes = Buffer.from('-signed-');
    // A view is signed as the view it is, not as the memory under it.
    const signature = await subtle.sign(algorithm, privateKey, bytes.subarray(1, 7));
    expect(signature.byteLength).toBe(64);
    await expect(subtle.verify(algorithm, publicKey, signature, Buffer.from('signed'))).resolves.toBe(true);
    await expect(subtle.verify(algorithm, publicKey, signature, bytes)).resolves.toBe(false);
  });

  it('leaves everything else to Node', async () => {
    const crypto = hsmCrypto(hsm);
    const { subtle } = crypto;
    const { privateKey, publicKey } = (await subtle.generateKey('Ed25519', false, [
      'sign',
      'verify',
    ])) as webcrypto.CryptoKeyPair;
    const signature = await subtle.sign('Ed25519', privateKey, Buffer.from('software'));
    await expect(subtle.verify('Ed25519', publicKey, signature, Buffer.from('software'))).resolves.toBe(true);
    expect(Buffer.from(await subtle.digest('SHA-256', Buffer.alloc(0))).toString('hex')).toMatch(/^e3b0c442/);
    expect(crypto.getRandomValues(new Uint8Array(16))).not.toEqual(new Uint8Array(16));
    expect(crypto.randomUUID()).toHaveLength(36);
  });

  it('refuses what the key is not bound to', async () => {
    const { subtle } = hsmCrypto(hsm);
    const data = Buffer.from('x');
    const rsa = await keyOf('rsa-2048');
    const pss = cryptoKeyPair(rsa, 'rsa-pss-sha256').privateKey;
    const ec = cryptoKeyPair(await keyOf('ec-p256')).privateKey;
    await expect(subtle.sign('RSASSA-PKCS1-v1_5', pss, data)).rejects.toMatchObject({ name: 'InvalidAccessError' });
    await expect(subtle.sign({ name: 'RSA-PSS', saltLength: 20 }, pss, data)).rejects.toThrow(
      /salt of 32 bytes, got 20/,
    );
    await expect(subtle.sign({ name: 'ECDSA', hash: 'SHA-1' }, ec, data)).rejects.toMatchObject({
      name: 'NotSupportedError',
    });
    await expect(webcrypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, ec, data)).rejects.toThrow();
    await expect(subtle.exportKey('pkcs8', ec)).rejects.toThrow();
  });

  it('refuses keys that do not sign, and schemes of another family', async () => {
    const transport = await hsm.generateKeyPair({ label: 'transport', algorithm: 'rsa-2048', usage: 'unwrap' });
    const kek = await hsm.generateSecretKey({ label: 'kek', algorithm: 'aes-256', usage: 'encrypt' });
    expect(() => cryptoKeyPair(transport)).toThrow(/want a pair that signs, got usage unwrap/);
    expect(() => cryptoKeyPair(kek)).toThrow(/want a pair that signs, got usage encrypt/);
    const ec = await keyOf('ec-p256');
    expect(() => cryptoKeyPair(ec, 'rsa-pss-sha256')).toThrow(/want a scheme of ec-p256, got rsa-pss-sha256/);
  });
});
