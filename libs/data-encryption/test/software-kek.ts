import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { HsmError, type HsmKey, type KeyId, type KeySelector } from '@nest-hsm/hsm';
import type { KekHolder } from '../src/key-encryption-key.js';

/**
 * KEKs in software, AES-256-GCM in the envelope of `Hsm.encrypt`: for tests that take the HSM away, count its calls or change
 * its keys. Everything else runs on SoftHSM.
 */
export class SoftwareKek implements KekHolder {
  readonly #keys = new Map<string, { key: HsmKey; secret: Buffer }>();
  /** Thrown by every call while it is set. */
  fault: Error | undefined;
  calls = { encrypt: 0, decrypt: 0 };
  /** Calls of every kind, those that failed too. */
  turns = 0;

  /** Of a label that has a key: its next version, which `findKey` then finds. */
  addKey(label: string, usage: HsmKey['usage'] = 'encrypt'): HsmKey {
    const versions = [...this.#keys.values()].filter(({ key }) => key.label === label);
    const id = randomBytes(16).toString('hex') as KeyId;
    const key: HsmKey = {
      id,
      label,
      algorithm: 'aes-256',
      usage,
      extractable: false,
      version: versions.length + 1,
      members: [],
      uri: `pkcs11:id=${id}`,
    };
    this.#keys.set(id, { key, secret: randomBytes(32) });
    return key;
  }

  get keys(): readonly HsmKey[] {
    return [...this.#keys.values()].map(({ key }) => key);
  }

  removeKey(id: string): void {
    this.#keys.delete(id);
  }

  /** Other bytes under the same id: what a restored or forged token might hold. */
  replaceSecret(id: string): void {
    const held = this.#keys.get(id);
    if (held !== undefined) held.secret = randomBytes(32);
  }

  down(): void {
    this.fault = new HsmError('ERR_HSM_UNAVAILABLE', 'HSM: want an answer, got none', { retryable: true });
  }

  up(): void {
    this.fault = undefined;
  }

  async findKey(selector: KeySelector | string): Promise<HsmKey> {
    await this.#turn();
    const wanted = selector as KeySelector;
    const found = [...this.#keys.values()].filter(
      ({ key }) => (wanted.id ?? key.id) === key.id && (wanted.label ?? key.label) === key.label,
    );
    const newest = found.toSorted((left, right) => right.key.version - left.key.version)[0];
    if (newest !== undefined) return newest.key;
    throw new HsmError('ERR_HSM_KEY_NOT_FOUND', `key ${wanted.label ?? wanted.id}: want one, got none`);
  }

  async generateSecretKey({ label, first = false }: { label: string; first?: boolean }): Promise<HsmKey> {
    await this.#turn();
    const made = first ? [...this.#keys.values()].find(({ key }) => key.label === label) : undefined;
    return made?.key ?? this.addKey(label);
  }

  async encrypt(key: HsmKey, data: Uint8Array, { aad = new Uint8Array() }: { aad?: Uint8Array } = {}): Promise<Buffer> {
    await this.#turn();
    this.calls.encrypt += 1;
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#secret(key), nonce, { authTagLength: 16 }).setAAD(aad);
    return Buffer.concat([Buffer.of(12), nonce, cipher.update(data), cipher.final(), cipher.getAuthTag()]);
  }

  async decrypt(
    key: HsmKey,
    envelope: Uint8Array,
    { aad = new Uint8Array() }: { aad?: Uint8Array } = {},
  ): Promise<Buffer> {
    await this.#turn();
    this.calls.decrypt += 1;
    const bytes = Buffer.from(envelope);
    const decipher = createDecipheriv('aes-256-gcm', this.#secret(key), bytes.subarray(1, 13), { authTagLength: 16 });
    decipher.setAAD(aad).setAuthTag(bytes.subarray(-16));
    const data = decipher.update(bytes.subarray(13, -16));
    try {
      decipher.final();
    } catch {
      throw new HsmError('ERR_HSM_DECRYPTION_FAILED', 'decrypt: want an envelope of this key, got another');
    }
    return data;
  }

  #secret(key: HsmKey): Buffer {
    const held = this.#keys.get(key.id);
    if (held === undefined)
      throw new HsmError('ERR_HSM_KEY_NOT_FOUND', `key ${key.label}: want it on the token, got none`);
    return held.secret;
  }

  /** As an agent's answer, never in the same turn. */
  async #turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.turns += 1;
    if (this.fault !== undefined) throw this.fault;
  }
}
