import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AsymmetricKeyAlgorithm, HsmKey, KeyId } from '@nest-hsm/hsm';
import { Credential } from '../src/credential.js';
import { SoftwareSigner } from './software-key.js';

export interface Identity {
  readonly algorithm: AsymmetricKeyAlgorithm;
  readonly privateKey: KeyObject;
  /** As a token would describe it. */
  readonly key: HsmKey;
  /** Self-signed, hence its own trust anchor. */
  readonly certificatePem: string;
}

/** A software key and a self-signed certificate for it, of a server and of a client, made by openssl. */
export function makeIdentity(
  algorithm: AsymmetricKeyAlgorithm,
  names: readonly string[] = ['localhost'],
  days = 30,
): Identity {
  const { privateKey, publicKey } = generateKeys(algorithm);
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  const id = randomBytes(16).toString('hex') as KeyId;
  const key: HsmKey = {
    id,
    label: `${algorithm}-${names[0]}`,
    algorithm,
    usage: 'sign',
    extractable: false,
    version: 1,
    members: [],
    spki,
    publicKey,
    uri: `pkcs11:id=${id}`,
  };
  return { algorithm, privateKey, key, certificatePem: selfSign(privateKey, names, days) };
}

export function softwareSigner(...identities: readonly Identity[]): SoftwareSigner {
  return new SoftwareSigner(new Map(identities.map(({ key, privateKey }) => [key.id, privateKey])));
}

export function credentialOf(identity: Identity, signer: SoftwareSigner = softwareSigner(identity)): Credential {
  return Credential.fromPem(identity.certificatePem, identity.key, signer);
}

function generateKeys(algorithm: AsymmetricKeyAlgorithm): { privateKey: KeyObject; publicKey: KeyObject } {
  switch (algorithm) {
    case 'ed25519':
      return generateKeyPairSync('ed25519');
    case 'ec-p256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' });
    case 'ec-p384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' });
    case 'ec-p521':
      return generateKeyPairSync('ec', { namedCurve: 'P-521' });
    case 'rsa-2048':
    case 'rsa-3072':
    case 'rsa-4096':
      return generateKeyPairSync('rsa', { modulusLength: Number(algorithm.slice(4)) });
  }
}

function selfSign(privateKey: KeyObject, names: readonly string[], days: number): string {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-identity-'));
  try {
    const file = (name: string, content: string): string => {
      writeFileSync(join(directory, name), content, { mode: 0o600 });
      return join(directory, name);
    };
    const config = file(
      'openssl.cnf',
      [
        '[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=leaf',
        `[dn]\nCN=${names[0]}`,
        '[leaf]\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth',
        `subjectAltName=${names.map((name) => (/^[\d.]+$/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(',')}`,
      ].join('\n'),
    );
    const key = file('key.pem', privateKey.export({ format: 'pem', type: 'pkcs8' }).toString());
    return execFileSync('openssl', ['req', '-x509', '-new', '-config', config, '-key', key, '-days', String(days)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
}
