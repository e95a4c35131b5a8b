import { createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { promisify } from 'node:util';
import { type Hsm, type HsmKey, type KeyId, signatureSchemes } from '@nest-hsm/hsm';

const keyOptions = {
  'ec-p256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'ec-p384': () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'rsa-2048': () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
} as const;

/**
 * The part of `Hsm` a CA uses, over real software keys: for tests that inject a fault into a signature or count calls.
 * Everything else runs on SoftHSM.
 */
export class SoftwareToken implements Pick<
  Hsm,
  'load' | 'listKeys' | 'generateKeyPair' | 'generateSecretKey' | 'sign' | 'mac' | 'random'
> {
  readonly #keys = new Map<string, { key: HsmKey; privateKey: KeyObject }>();
  readonly #secrets = new Map<string, { key: HsmKey; secret: Buffer }>();
  /** Replaces every signature made while it is set, or throws. */
  fault: ((signature: Buffer) => Buffer) | undefined;
  signatures = 0;
  /** Of which `sessions` is said and nothing else is so. */
  load = {
    sessions: 16,
    inFlight: 0,
    queued: 0,
    queuedByClass: { interactive: 0, data: 0, issuance: 0, management: 0 },
  };

  async listKeys({ label, usage }: { label?: string; usage?: string } = {}): Promise<HsmKey[]> {
    const keys = [...this.#keys.values(), ...this.#secrets.values()].map(({ key }) => key);
    return Promise.resolve(
      keys.filter((key) => (label ?? key.label) === key.label && (usage ?? key.usage) === key.usage),
    );
  }

  async generateSecretKey({ label, algorithm }: { label: string; algorithm: string }): Promise<HsmKey> {
    const id = randomBytes(16).toString('hex') as KeyId;
    const key = {
      id,
      label,
      algorithm,
      usage: 'mac',
      version: 1,
      extractable: false,
      uri: `pkcs11:id=${id}`,
    } as HsmKey;
    this.#secrets.set(id, { key, secret: randomBytes(32) });
    return Promise.resolve(key);
  }

  async mac({ id, label }: HsmKey, data: Uint8Array): Promise<Buffer> {
    const held = this.#secrets.get(id);
    if (held === undefined) throw new Error(`software token: no key ${label} for HMAC`);
    return Promise.resolve(createHmac('sha256', held.secret).update(data).digest());
  }

  async generateKeyPair({ label, algorithm }: { label: string; algorithm: string }): Promise<HsmKey> {
    const pair = keyOptions[algorithm as keyof typeof keyOptions]();
    const id = randomBytes(16).toString('hex') as KeyId;
    const spki = pair.publicKey.export({ format: 'der', type: 'spki' });
    const key = {
      id,
      label,
      algorithm,
      usage: 'sign',
      extractable: false,
      spki,
      publicKey: pair.publicKey,
      uri: `pkcs11:id=${id}`,
    } as HsmKey;
    this.#keys.set(id, { key, privateKey: pair.privateKey });
    return Promise.resolve(key);
  }

  async sign(key: HsmKey, scheme: keyof typeof signatureSchemes, data: Uint8Array): Promise<Buffer> {
    const held = this.#keys.get(key.id);
    const facts = signatureSchemes[scheme];
    if (held === undefined || !('hash' in facts)) throw new Error(`software token: no key ${key.label} for ${scheme}`);
    this.signatures += 1;
    const signature = await promisify(sign)(facts.hash, data, held.privateKey);
    return this.fault === undefined ? signature : this.fault(signature);
  }

  async random(byteLength: number): Promise<Buffer> {
    return Promise.resolve(randomBytes(byteLength));
  }
}
