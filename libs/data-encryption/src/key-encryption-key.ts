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
}

/**
 * The KEK: new data keys are encrypted under the newest version of the label's key; old ones are decrypted under the version they
 * name.
 * Every method throws ERR_DATA_KEY_UNAVAILABLE when the HSM cannot be reached and ERR_DATA_KEY_REJECTED when it refuses.
 */
export class KeyEncryptionKey {
  readonly #versions = new Map<string, HsmKey>();

  constructor(private readonly options: KeyEncryptionKeyOptions) {}

  /** CKA_ID of the version that new data keys are encrypted under. */
  async newestVersion(): Promise<string> {
    return this.#use(async () => (await this.#find()).id);
  }

  /** @param associatedData  built for the version that encrypts, which is bound too */
  async encrypt(
    secret: Buffer,
    associatedData: (kekVersion: string) => Buffer,
  ): Promise<{ kekVersion: string; wrapped: Buffer }> {
    return this.#use(async () => {
      // Looked up each time, which is once in a million cells: the key may have been rotated.
      const key = await this.#find();
      const wrapped = await this.options.hsm.encrypt(key, secret, { aad: associatedData(key.id) });
      return { kekVersion: key.id, wrapped };
    });
  }

  /** The caller owns and zeroes the result. */
  async decrypt(wrapped: Buffer, kekVersion: string, associatedData: Buffer): Promise<Buffer> {
    return this.#use(async () => {
      let key = this.#versions.get(kekVersion);
      if (key === undefined) {
        key = requireKek(await this.options.hsm.findKey({ id: kekVersion as KeyId }));
        this.#versions.set(kekVersion, key);
      }
      return this.options.hsm.decrypt(key, wrapped, { aad: associatedData, hedge: true });
    });
  }

  async #find(): Promise<HsmKey> {
    const { hsm, label, create } = this.options;
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
