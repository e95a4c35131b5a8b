import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AsymmetricKeyAlgorithm, cryptoKeyPair, Hsm, hsmCrypto, type SignatureScheme } from '@nest-hsm/hsm';
import { X509CertificateGenerator } from '@peculiar/x509';
import * as pkijs from 'pkijs';
import { run } from '../support/ca-service.js';
import { TestToken } from '../support/token.js';

interface Row {
  readonly algorithm: AsymmetricKeyAlgorithm;
  readonly scheme: SignatureScheme;
  readonly hash: string;
}
const rows: Row[] = [
  { algorithm: 'ec-p256', scheme: 'ecdsa-sha256', hash: 'SHA-256' },
  { algorithm: 'ec-p384', scheme: 'ecdsa-sha384', hash: 'SHA-384' },
  { algorithm: 'rsa-2048', scheme: 'rsa-pkcs1-sha256', hash: 'SHA-256' },
  { algorithm: 'rsa-2048', scheme: 'rsa-pss-sha256', hash: 'SHA-256' },
];

describe('pkijs signs with a key of the token, and openssl verifies', () => {
  const token = new TestToken('pkijs');
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-pkijs-'));
  let hsm: Hsm;
  let engine: pkijs.CryptoEngine;

  beforeAll(async () => {
    hsm = await Hsm.open(token.config());
    engine = new pkijs.CryptoEngine({ name: 'token', crypto: hsmCrypto(hsm) });
  });
  afterAll(async () => {
    await hsm?.close();
    token.remove();
    rmSync(directory, { recursive: true });
  });

  const keysOf = async ({ algorithm, scheme }: Row): Promise<webcrypto.CryptoKeyPair> =>
    cryptoKeyPair(await hsm.generateKeyPair({ label: `pkijs-${algorithm}`, algorithm }), scheme);
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };

  it.each(rows)('a certification request: $algorithm $scheme', async (row) => {
    const keys = await keysOf(row);
    const request = new pkijs.CertificationRequest({ attributes: [] });
    await request.subjectPublicKeyInfo.importKey(keys.publicKey, engine);
    await request.sign(keys.privateKey, row.hash, engine);
    await expect(request.verify(engine)).resolves.toBe(true);

    const csr = file('request.der', new Uint8Array(request.toSchema(true).toBER()));
    const publicKey = run('openssl', 'req', '-inform', 'DER', '-in', csr, '-verify', '-noout', '-pubkey');
    const spki = Buffer.from(await webcrypto.subtle.exportKey('spki', keys.publicKey)).toString('base64');
    expect(publicKey.replaceAll(/-----.*|\n/g, '')).toBe(spki);
  });

  it.each(rows)('a CMS message: $algorithm $scheme', async (row) => {
    const keys = await keysOf(row);
    const signingAlgorithm = row.scheme === 'rsa-pss-sha256' ? { saltLength: 32 } : { hash: row.hash };
    const signer = await X509CertificateGenerator.createSelfSigned(
      { name: 'CN=token key', keys, signingAlgorithm },
      hsmCrypto(hsm),
    );
    const certificate = pkijs.Certificate.fromBER(signer.rawData);
    const text = Buffer.from('what was signed\n');
    const { issuer, serialNumber } = certificate;
    const message = new pkijs.SignedData({
      version: 1,
      encapContentInfo: new pkijs.EncapsulatedContentInfo({ eContentType: pkijs.id_ContentType_Data }),
      signerInfos: [
        new pkijs.SignerInfo({ version: 1, sid: new pkijs.IssuerAndSerialNumber({ issuer, serialNumber }) }),
      ],
      certificates: [certificate],
    });
    await message.sign(keys.privateKey, 0, row.hash, text, engine);
    const content = new pkijs.ContentInfo({
      contentType: pkijs.id_ContentType_SignedData,
      content: message.toSchema(true),
    });

    const cms = file('message.der', new Uint8Array(content.toSchema().toBER()));
    const trust = file('signer.pem', signer.toString('pem'));
    const detached = file('text', text);
    const verify = ['cms', '-verify', '-binary', '-inform', 'DER', '-in', cms, '-content', detached, '-CAfile', trust];
    expect(run('openssl', ...verify, '-purpose', 'any')).toBe(text.toString());
    expect(() => run('openssl', ...verify, '-content', file('other', 'something else'), '-purpose', 'any')).toThrow();
  });
});
