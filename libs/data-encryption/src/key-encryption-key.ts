import { createHash } from 'node:crypto';
import { type Hsm, HsmError, type HsmKey, type KeyId } from '@nest-hsm/hsm';
import { DataEncryptionError } from './errors.js';

/** What this library needs of an HSM: a KEK that encrypts and decrypts small data with associated data. `Hsm` is one. */
export type KekHolder = Pick<Hsm, 'encrypt' | 'decrypt' | 'findKey' | 'generateSecretKey'>;

export interface KeyEncryptionKeyOptions {
  readonly hsm: KekHolder;
  /** Label of the AES-256 key on the token, made with usage `encrypt`. */
  readonly label: string;
  /** Makes the key when the token has none of this label. Of several processes that start at once all use the same one. */
  readonly create: boolean;
  /** Names the KEKs of tenants, together with the label. */
  readonly databaseId?: string;
  /** Whether new data keys of a tenant are encrypted under a KEK of the tenant's own, which is made when there is none. */
  readonly perTenant?: boolean;
}

/** A tenant's KEK: the shared one's label, this, and 32 hexadecimal digits. */
const tenantMark = '-tenant-';
export const tenantLabelCharacters = tenantMark.length + 32;
/** Versions that are remembered: with a KEK for each tenant there may be many. */
const mostVersions = 10_000;

/**
 * The KEK: new data keys are encrypted under the newest version of the label's key; old ones are decrypted under the version they
 * name.
 * Every method throws ERR_DATA_KEY_UNAVAILABLE when the HSM cannot be reached and ERR_DATA_KEY_REJECTED when it refuses.
 */
export class KeyEncryptionKey {
  readonly #versions = new Map<string, HsmKey>();

  constructor(private readonly options: KeyEncryptionKeyOptions) {}

  /** The label of the KEK that encrypts new data keys. @param tenant  empty: of none */
  labelFor(tenant: string): string {
    return tenant !== '' && this.options.perTenant ? this.tenantLabel(tenant) : this.options.label;
  }

  /** The label of the KEK that only this tenant's data keys are under, whether there is one or not. */
  tenantLabel(tenant: string): string {
    const digest = createHash('sha256').update(JSON.stringify([this.options.databaseId, tenant]));
    return `${this.options.label}${tenantMark}${digest.digest('hex').slice(0, 32)}`;
  }

  /**
   * The label that a stored data key stays under when it is encrypted anew: what was ever under a shared KEK is in backups so, and to
   * shred it that KEK has to go.
   */
  async labelAfter({ tenant, kekVersion }: { readonly tenant: string; readonly kekVersion: string }): Promise<string> {
    if (tenant === '') return this.options.label;
    const { label } = await this.#use(() => this.#version(kekVersion));
    return label === this.tenantLabel(tenant) ? label : this.options.label;
  }

  /** CKA_ID of the version that data keys are encrypted under. @param label  default: the shared KEK's */
  async newestVersion(label = this.options.label): Promise<string> {
    return this.#use(async () => (await this.#find(label)).id);
  }

  /** @param associatedData  built for the version that encrypts, which is bound too */
  async encrypt(
    secret: Buffer,
    associatedData: (kekVersion: string) => Buffer,
    label = this.options.label,
  ): Promise<{ kekVersion: string; wrapped: Buffer }> {
    return this.#use(async () => {
      // Looked up each time, which is once in a million cells: the key may have been rotated.
      const key = await this.#find(label);
      const wrapped = await this.options.hsm.encrypt(key, secret, { aad: associatedData(key.id) });
      return { kekVersion: key.id, wrapped };
    });
  }

  /** The caller owns and zeroes the result. */
  async decrypt(wrapped: Buffer, kekVersion: string, associatedData: Buffer): Promise<Buffer> {
    return this.#use(async () => {
      const key = await this.#version(kekVersion);
      return this.options.hsm.decrypt(key, wrapped, { aad: associatedData, hedge: true });
    });
  }

  async #version(kekVersion: string): Promise<HsmKey> {
    let key = this.#versions.get(kekVersion);
    if (key === undefined) {
      key = requireKek(await this.options.hsm.findKey({ id: kekVersion as KeyId }));
      if (this.#versions.size >= mostVersions) this.#versions.clear();
      this.#versions.set(kekVersion, key);
    }
    return key;
  }

  async #find(label: string): Promise<HsmKey> {
    const { hsm } = this.options;
    const create = this.options.create || label !== this.options.label;
    try {
      return requireKek(await hsm.findKey({ label }));
    } catch (error) {
      if (!create || !(error instanceof HsmError) || error.code !== 'ERR_HSM_KEY_NOT_FOUND') throw error;
      await hsm.generateSecretKey({ label, algorithm: 'aes-256', usage: 'encrypt', first: true });
      // Another process may have made one at the same moment: all of them then use the same.
      return requireKek(await hsm.findKey({ label }));
    }
  }

  async #use<T>(operation: () => Promise<T>): Promise<T> {
    try {
      return await operation();
    } catch (error) {
      // The next call looks the keys up again: the token may have been replaced, or the key made.
      this.#versions.clear();
      if (error instanceof DataEncryptionError) throw error;
      throw classify(error, this.options.label);
    }
  }
}

function requireKek(key: HsmKey): HsmKey {
  if (key.algorithm === 'aes-256' && key.usage === 'encrypt') return key;
  throw new DataEncryptionError(
    'ERR_DATA_KEY_REJECTED',
    `KEK ${key.label}: want an aes-256 key with usage encrypt, got ${key.algorithm} with usage ${key.usage}`,
  );
}

function classify(error: unknown, label: string): DataEncryptionError {
  const reason = error instanceof Error ? error.message : 'unknown error';
  // A network HSM that is away may look like a token that is missing: the error then says it is worth another try.
  const isOutage =
    error instanceof HsmError && (error.fault === 'token' || error.retryable || error.code === 'ERR_HSM_CLOSED');
  return isOutage
    ? new DataEncryptionError('ERR_DATA_KEY_UNAVAILABLE', `KEK ${label}: want an answer of the HSM, got ${reason}`, {
        cause: error,
      })
    : new DataEncryptionError('ERR_DATA_KEY_REJECTED', `KEK ${label}: want a key the HSM lets us use, got ${reason}`, {
        cause: error,
      });
}
