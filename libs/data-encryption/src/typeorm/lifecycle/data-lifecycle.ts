import type { QueryRunner } from 'typeorm';
import { type DataKeyPurpose, type DataKeyRecord, type DataKeyStore, rewrapDataKey } from '../../data-key.js';
import type { DataKeyId } from '../../envelope.js';
import { DataEncryptionError, keyUnavailable } from '../../errors.js';
import type { KeyEncryptionKey } from '../../key-encryption-key.js';
import { type KeyScope, scopeKey } from '../../key-scope.js';
import type { SignedShreddingReceipt } from '../../shredding/shredding-receipt.js';
import { parseTenant, type Tenant, tenantMissing } from '../../tenant.js';
import type { Installation } from '../installation.js';
import { PlaintextTable } from './backfill.js';
import type { Backfill, BackfillOptions } from './plaintext-passes.js';
import { CellTable } from './cell-table.js';
import { type ShredOptions, TenantShredding } from '../shredding/tenant-shredding.js';
import { type PlaintextPlan, planPlaintexts } from './plaintext-counts.js';
import { type Pass, RangeStore } from '../store/range.store.js';
import { type Reencryption, type ReencryptOptions, TableReencryption } from './reencryption.js';
import { type Verification, type VerifyOptions, verifyTable } from './verification.js';

/** A stored data key, without its bytes. */
export interface DataKeyView {
  readonly id: DataKeyId;
  readonly purpose: DataKeyPurpose;
  readonly tableId: string;
  /** Of the key of a blind index, and of a column that has a key of its own; empty for a table's cells. */
  readonly columnId: string;
  /** Empty: of no tenant. */
  readonly tenant: string;
  readonly state: DataKeyRecord['state'];
  /** CKA_ID of the KEK that it is encrypted under. */
  readonly kekVersion: string;
  /** Messages that processes have reserved, of at most 2^30. */
  readonly reservedMessages: number;
}

export interface Rewrapping {
  /** CKA_ID of the newest version of the shared KEK. */
  readonly kekVersion: string;
  /** Data keys that were encrypted anew. */
  readonly rewrapped: number;
  /** Data keys that were under it already. */
  readonly current: number;
}

const pageSize = 100;

/** The life of the keys and cells of one data source: what an operator does, while the application goes on. */
export class DataLifecycle {
  constructor(
    private readonly installation: Installation,
    private readonly store: DataKeyStore<QueryRunner>,
    private readonly kek: KeyEncryptionKey,
    private readonly databaseId: string,
    private readonly hsm: object,
  ) {}

  /** The logical names of the tables with encrypted columns. */
  get tableIds(): readonly string[] {
    return [...this.installation.tableIds].sort();
  }

  /** Every stored data key, in the order of tables. */
  async keys(): Promise<readonly DataKeyView[]> {
    const views: DataKeyView[] = [];
    for await (const { wrapped: _, commitment: __, algorithm: ___, ...view } of this.#records()) views.push(view);
    const order = ({ tableId, tenant, columnId, state, id }: DataKeyView) =>
      [tableId, tenant, columnId, state, id].join('\0');
    return views.sort((left, right) => (order(left) < order(right) ? -1 : 1));
  }

  /**
   * Encrypts every data key under the newest version of its KEK. The older versions are unused when it returns, in this
   * database: its backups still need them. Ended anywhere, it goes on when it is called again.
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED
   */
  async rewrap(): Promise<Rewrapping> {
    const kekVersion = await this.kek.newestVersion();
    let [rewrapped, current] = [0, 0];
    for await (const record of this.#records()) {
      const became = await this.#rewrap(record, kekVersion);
      if (became === 'rewrapped') rewrapped++;
      else if (became === 'current') current++;
    }
    return { kekVersion, rewrapped, current };
  }

  /**
   * Puts a new data key in the place of each active one of a table, of its columns and of its tenants: what is written from now on, in every process within two
   * `leaseSeconds`, is written with it. `reencrypt` does the same to what has been written.
   * @param tenant  of this one only: of a table that has no keys for it none
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_CONFIG_INVALID for an unknown table
   */
  async rotate(tableId: string, tenant?: Tenant): Promise<readonly DataKeyId[]> {
    const ids: DataKeyId[] = [];
    for (const scope of await this.#scopes(this.#table(tableId), tenant)) {
      ids.push(await this.installation.leases.rotate(scope));
    }
    return ids;
  }

  /**
   * Shreds what a tenant or subject has, in every table, see `TenantShredding`. It cannot be taken back. To be called again until the receipt
   * says `shredded`; ended anywhere, it goes on.
   * @throws {DataEncryptionError} ERR_DATA_TENANT_UNKNOWN for one that has no data keys | ERR_DATA_CONFIG_INVALID where the shared KEK would have to go and `destroySharedKek` is not given, or the HSM was
   * given as less than an `Hsm` | ERR_DATA_PLAINTEXT_LEFT before anything was done | ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_VALUE_INVALID
   * @throws the HSM's and the database's errors, or the signal's reason; what was done stays done
   */
  async shred(tenant: Tenant, options: ShredOptions = {}): Promise<SignedShreddingReceipt> {
    const parsed = parseTenant(tenant);
    if (parsed === undefined) throw tenantMissing('tenant: want one to shred');
    const { leases, shreddings, tombstones } = this.installation;
    const terms = {
      ...{ hsm: this.hsm, kek: this.kek, store: shreddings, databaseId: this.databaseId },
      ...{ leaseSeconds: leases.leaseSeconds, settleMilliseconds: leases.settleMilliseconds },
      rewrap: () => this.rewrap(),
      refusePlaintexts: () => this.#refusePlaintexts(),
    };
    await tombstones.refresh();
    return new TenantShredding(terms, parsed, options).run();
  }

  /**
   * Encrypts every cell of a table with its active data key, see `TableReencryption`.
   * @throws {DataEncryptionError} as `rotate`
   * @throws the database's error, or the signal's reason; what was done stays done
   */
  async reencrypt(tableId: string, options: ReencryptOptions = {}): Promise<Reencryption> {
    return new TableReencryption(this.installation, this.#table(tableId), options).run();
  }

  /** How far encrypting a table anew has come, in whichever process; undefined when nobody is at it. */
  async reencryption(tableId: string): Promise<Pass | undefined> {
    return RangeStore.latest(this.installation.dataSource, this.#table(tableId).tableId);
  }

  /**
   * Decrypts every cell of a table, see `verifyTable`.
   * @throws {DataEncryptionError} as `rotate`
   */
  async verify(tableId: string, options: VerifyOptions = {}): Promise<Verification> {
    const table = this.#table(tableId);
    const session = this.installation.dataSource.createQueryRunner('slave');
    try {
      return await verifyTable(this.installation, table, session, options);
    } finally {
      await session.release();
    }
  }

  /** The columns on their way between plaintext and cells, and what their rows have. */
  async plan(): Promise<readonly PlaintextPlan[]> {
    return planPlaintexts(this.installation.dataSource, this.installation.entities);
  }

  /**
   * Gives rows the cells they lack or the plaintext, see `PlaintextTable.backfill`.
   * @throws {DataEncryptionError} as `rotate`
   */
  async backfill(tableId: string, options: BackfillOptions = {}): Promise<Backfill> {
    return new PlaintextTable(this.installation, this.#table(tableId), options).backfill();
  }

  /**
   * Erases plaintext that has become cells, see `PlaintextTable.contract`.
   * @throws {DataEncryptionError} as `rotate`
   */
  async contract(tableId: string, options: BackfillOptions = {}): Promise<Backfill> {
    return new PlaintextTable(this.installation, this.#table(tableId), options).contract();
  }

  /** Whose plaintext it is nobody knows who counts: a row of any tenant is in the way. */
  async #refusePlaintexts(): Promise<void> {
    const left = (await this.plan()).filter(
      ({ tableId, both, plaintextOnly }) => this.installation.tenantTables.has(tableId) && both + plaintextOnly > 0,
    );
    if (left.length === 0) return;
    const got = left.map(({ column, both, plaintextOnly }) => `${both + plaintextOnly} in ${column}`).join(', ');
    throw new DataEncryptionError(
      'ERR_DATA_PLAINTEXT_LEFT',
      `shredding: want no rows with plaintext beside cells, which no key protects, got ${got}; ` +
        'the way out: phase contract, then nest-hsm data contract',
    );
  }

  /** Those that are written with a key of their own. Of tenants: those that have one. */
  async #scopes({ tableId, columns, keyScope }: CellTable, tenant?: Tenant): Promise<readonly KeyScope[]> {
    if (keyScope !== 'tenant') {
      if (tenant !== undefined) return [];
      const scopes = columns.map((cipher) => cipher.scope(''));
      return [...new Map(scopes.map((scope) => [scopeKey(scope), scope])).values()];
    }
    const tenants = new Set<Tenant>();
    for await (const record of this.#records()) {
      const isActive = record.purpose === 'cell' && record.tableId === tableId && record.state === 'active';
      if (isActive && (tenant === undefined || record.tenant === tenant)) tenants.add(record.tenant);
    }
    return [...tenants].map((each) => ({ tableId, columnId: '', tenant: each }));
  }

  /** Until it is under the newest version, whoever else changes it meanwhile. */
  async #rewrap(record: DataKeyRecord, shared: string): Promise<'rewrapped' | 'current' | 'gone'> {
    let seen: DataKeyRecord | undefined = record;
    for (let attempt = 0; attempt < 5; attempt++) {
      if (seen === undefined || seen.state === 'shredded') return 'gone';
      if (seen.kekVersion === (await this.#newestFor(seen, shared))) return 'current';
      if (await this.store.rewrap(seen, await rewrapDataKey(this.kek, seen, this.databaseId))) return 'rewrapped';
      [seen] = await this.store.find([record.id]);
    }
    throw keyUnavailable(`data key ${record.id}: want it as it was read, got it changed by others again and again`);
  }

  async #newestFor(record: DataKeyRecord, shared: string): Promise<string> {
    const label = await this.kek.labelAfter(record);
    return label === this.kek.labelFor('') ? shared : this.kek.newestVersion(label);
  }

  #table(tableId: string): CellTable {
    const { dataSource, entities } = this.installation;
    const table = CellTable.all(dataSource, entities).find((each) => each.tableId === tableId);
    if (table !== undefined) return table;
    const known = this.tableIds.join(', ');
    throw new DataEncryptionError('ERR_DATA_CONFIG_INVALID', `table: want one of ${known}, got ${tableId}`);
  }

  async *#records(): AsyncGenerator<DataKeyRecord> {
    let page: readonly DataKeyRecord[] = [];
    do {
      page = await this.store.list(page.at(-1)?.id, pageSize);
      yield* page;
    } while (page.length === pageSize);
  }
}
