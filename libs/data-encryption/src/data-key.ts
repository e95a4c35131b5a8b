import { hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { dataKeyAssociatedData } from './associated-data.js';
import { type IndexKey, indexKeyTag } from './blind-index.js';
import type { CellSecret } from './cells/cells.js';
import { cells } from './cells/load-cells.js';
import { type DataKeyId, formatHeader } from './envelope.js';
import { DataEncryptionError } from './errors.js';
import type { KeyEncryptionKey } from './key-encryption-key.js';
import type { KeyScope } from './key-scope.js';

export const dataKeyBytes = 32;
export const commitmentBytes = 32;
export const dataKeyAlgorithm = 'aes-256-gcm';

/**
 * After this many messages a data key encrypts no more (it decrypts for ever). NIST SP 800-38D §8.3 allows 2^32 random
 * nonces; the margin absorbs counts that a crash or a rollback loses.
 */
export const maximumMessages = 2 ** 30;

/** What a key may be used for: cells, or the blind index of a column. */
export type DataKeyPurpose = 'cell' | 'index';

/** Where a key belongs. That of an index is always for one column. */
export interface DataKeyPlace extends KeyScope {
  readonly purpose: DataKeyPurpose;
}

/** A data key (DEK) as it is stored: useless without its KEK. */
export interface DataKeyRecord extends DataKeyPlace {
  readonly id: DataKeyId;
  /** `aes-256-gcm`, or of an index `hmac-sha-256/` and its normalization. */
  readonly algorithm: string;
  /** CKA_ID of the KEK: which version of it wrapped this key. */
  readonly kekVersion: string;
  /** What `Hsm.encrypt` returned for the 32 bytes. */
  readonly wrapped: Buffer;
  /** 32 bytes that only this key has: AES-GCM alone would accept a ciphertext under several keys. */
  readonly commitment: Buffer;
  /** A scope has one active key for each purpose: what is written is written with it. Of a shredded one nothing is left to open. */
  readonly state: 'active' | 'retired' | 'shredded';
  /** Messages that processes have reserved so far, used or not. */
  readonly reservedMessages: number;
}

/**
 * Where data keys are kept, beside the data they encrypt. Failures are the database's own errors.
 * @typeParam Session  a connection that the caller already holds
 */
export interface DataKeyStore<Session> {
  /** The key that encrypts the cells of a scope now. */
  findActive(scope: KeyScope): Promise<DataKeyRecord | undefined>;
  /** @param session  read through it: a reader inside a transaction may hold the last connection of its pool */
  find(ids: readonly DataKeyId[], session?: Session): Promise<readonly DataKeyRecord[]>;
  /** Every key of the blind indexes of a table, or of a tenant's rows of it, in any state. */
  findIndexKeys(tableId: string, tenant: string, session?: Session): Promise<readonly DataKeyRecord[]>;
  /**
   * Before a key is made, and maybe a KEK for it.
   * @throws {DataEncryptionError} ERR_DATA_SHREDDED for a tenant that was shredded
   */
  refuseShredded(scope: KeyScope): Promise<void>;
  /**
   * Stores a new active key so that no rollback can take it away again.
   * @returns false when another process has stored one first
   * @throws {DataEncryptionError} ERR_DATA_SHREDDED, and it is not stored
   */
  add(record: DataKeyRecord): Promise<boolean>;
  /**
   * Reserves messages of an active key before they are used.
   * @param knownMessages  the total this process has seen, put back if a rollback undid it
   * @returns the new total, or undefined when the key is not active or would pass `maximumMessages`
   */
  reserve(id: DataKeyId, messages: number, knownMessages: number): Promise<number | undefined>;
  retire(id: DataKeyId): Promise<void>;
  /** The next keys in the order of their ids. */
  list(after: DataKeyId | undefined, limit: number): Promise<readonly DataKeyRecord[]>;
  /**
   * Stores a data key under another KEK so that no rollback can take it back.
   * @param record  as it was read
   * @returns false when it is no longer so
   */
  rewrap(record: DataKeyRecord, wrapped: WrappedDataKey): Promise<boolean>;
}

/** A data key under one version of the KEK. */
export type WrappedDataKey = Pick<DataKeyRecord, 'kekVersion' | 'wrapped'>;

/** A data key that is loaded. The bytes are inside OpenSSL; nothing here can print them. */
export interface CellKey {
  readonly id: DataKeyId;
  readonly scope: KeyScope;
  /** The first 28 characters of the cells it encrypts. */
  readonly header: string;
  /** AES-256, derived from the data key: an algorithm never shares a key with another. */
  readonly secret: CellSecret;
  /** It was retired when it was loaded: for decryption only. */
  readonly isRetired: boolean;
}

/** Makes a data key and encrypts it under the current KEK: one HSM round trip. */
export async function createDataKey(
  kek: KeyEncryptionKey,
  databaseId: string,
  place: DataKeyPlace,
  algorithm: string = dataKeyAlgorithm,
): Promise<DataKeyRecord> {
  const id = randomBytes(16).toString('hex') as DataKeyId;
  const secret = randomBytes(dataKeyBytes);
  try {
    const commitment = commit(secret);
    const described = { ...place, id, algorithm, commitment };
    const { kekVersion, wrapped } = await kek.encrypt(
      secret,
      (kekVersion) => dataKeyAssociatedData({ ...described, databaseId, kekVersion }),
      kek.labelFor(place.tenant),
    );
    return { ...described, kekVersion, wrapped, state: 'active', reservedMessages: 0 };
  } finally {
    secret.fill(0);
  }
}

/** How the keys of one purpose are opened. */
export interface DataKeyKind<Key> {
  readonly purpose: DataKeyPurpose;
  /**
   * Decrypts a data key and checks its commitment.
   * @throws {DataEncryptionError} ERR_DATA_KEY_REJECTED | ERR_DATA_KEY_UNAVAILABLE
   */
  open(kek: KeyEncryptionKey, record: DataKeyRecord, databaseId: string): Promise<Key>;
}

export const cellKeys: DataKeyKind<CellKey> = {
  purpose: 'cell',
  open: async (kek, record, databaseId) => {
    if (record.algorithm !== dataKeyAlgorithm) throw rejected(record, dataKeyAlgorithm, record.algorithm);
    const header = formatHeader(record.id);
    return openDataKey(kek, record, databaseId, 'nest-hsm cell key v1', (key) => ({
      id: record.id,
      scope: { tableId: record.tableId, columnId: record.columnId, tenant: record.tenant },
      header,
      secret: cells().importKey(header, key),
      isRetired: record.state === 'retired',
    }));
  },
};

export const indexKeys: DataKeyKind<IndexKey> = {
  purpose: 'index',
  open: async (kek, record, databaseId) =>
    openDataKey(kek, record, databaseId, 'nest-hsm index key v1', (key) => {
      const tag = indexKeyTag(record.id);
      return {
        id: record.id,
        columnId: record.columnId,
        tag,
        secret: cells().importIndexKey(tag, key),
        isActive: record.state === 'active',
      };
    }),
};

/**
 * Encrypts a data key under the newest version of its KEK: three HSM round trips, since nothing but the HSM can tell that what
 * it returned will decrypt.
 * @throws {DataEncryptionError} ERR_DATA_KEY_REJECTED | ERR_DATA_KEY_UNAVAILABLE
 */
export async function rewrapDataKey(
  kek: KeyEncryptionKey,
  record: DataKeyRecord,
  databaseId: string,
): Promise<WrappedDataKey> {
  const label = await kek.labelAfter(record);
  return withDataKey(kek, record, databaseId, async (secret) => {
    const wrapped = await kek.encrypt(
      secret,
      (kekVersion) => dataKeyAssociatedData({ ...record, databaseId, kekVersion }),
      label,
    );
    await withDataKey(kek, { ...record, ...wrapped }, databaseId, () => undefined);
    return wrapped;
  });
}

/** @param use  gets 32 bytes derived from the data key, which are overwritten when it returns */
async function openDataKey<Key>(
  kek: KeyEncryptionKey,
  record: DataKeyRecord,
  databaseId: string,
  info: string,
  use: (key: Buffer) => Key,
): Promise<Key> {
  return withDataKey(kek, record, databaseId, (secret) => {
    const key = derive(secret, info);
    try {
      return use(key);
    } finally {
      key.fill(0);
    }
  });
}

/** @param use  gets the data key, which is the committed one and is overwritten when it is done */
async function withDataKey<T>(
  kek: KeyEncryptionKey,
  record: DataKeyRecord,
  databaseId: string,
  use: (secret: Buffer) => T | Promise<T>,
): Promise<T> {
  const secret = await kek.decrypt(record.wrapped, record.kekVersion, dataKeyAssociatedData({ ...record, databaseId }));
  try {
    const isCommitted =
      secret.length === dataKeyBytes &&
      record.commitment.length === commitmentBytes &&
      timingSafeEqual(commit(secret), record.commitment);
    if (!isCommitted) throw rejected(record, 'the key it commits to', 'another');
    return await use(secret);
  } finally {
    secret.fill(0);
  }
}

function rejected({ id }: DataKeyRecord, want: string, got: string): DataEncryptionError {
  return new DataEncryptionError('ERR_DATA_KEY_REJECTED', `data key ${id}: want ${want}, got ${got}`);
}

function commit(secret: Buffer): Buffer {
  return derive(secret, 'nest-hsm data key commitment v1');
}

/** HKDF-SHA-256 (RFC 5869), no salt: the input is uniformly random. @returns 32 bytes */
function derive(secret: Buffer, info: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), info, 32));
}
