import type { KeyObject } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { HsmError, type HsmKey, type KeyId, type SignedReceipt } from '@nest-hsm/hsm';
import { DataEncryptionError, keyUnavailable } from '../../errors.js';
import type { KeyEncryptionKey } from '../../key-encryption-key.js';
import {
  parseShreddingReceipt,
  receiptText,
  sha256,
  type ShreddingReceipt,
  type SignedShreddingReceipt,
} from '../../shredding/shredding-receipt.js';
import { type Tenant, tenantUnknown } from '../../tenant.js';
import type { ShreddingEntity } from '../store/shredding.entity.js';
import type { ShreddingStore } from '../store/shredding.store.js';
import { acknowledgements, type WaitedProcess } from './process-acknowledgement.js';
import type { ShreddingHsm } from './shredding-hsm.js';
import { type TenantKek, TenantKeks } from './tenant-keks.js';

export interface ShredOptions {
  /** Who asked for it, for the receipt; at most 200 characters. */
  readonly operator?: string;
  /**
   * Needed where the tenant's data keys are under the shared KEK: every version of it but a new one is destroyed, after the keys of all others
   * were put under the new one. **What else is under it is lost**: other databases that use it, and every backup of this one.
   */
  readonly destroySharedKek?: boolean;
  readonly signal?: AbortSignal;
  /** Called while processes have not said that they have forgotten the tenant's keys. */
  readonly onWaiting?: (processes: readonly WaitedProcess[]) => void;
}

export interface ShreddingTerms {
  readonly hsm: object;
  readonly kek: KeyEncryptionKey;
  readonly store: ShreddingStore;
  readonly databaseId: string;
  readonly leaseSeconds: number;
  /** Encrypts every remaining data key under the newest version of the KEK. */
  readonly rewrap: () => Promise<unknown>;
  /** Throws where the tenant may have plaintext, which no KEK protects. */
  readonly refusePlaintexts: () => Promise<void>;
  /** How long until a process that had begun to store a data key has done so. */
  readonly settleMilliseconds: number;
}

/** What became of one. */
interface Outcome extends TenantKek {
  readonly receipt?: SignedReceipt;
}

/** How often others' data keys are looked at again, and KEKs are added that turn up late, before somebody has to call again. */
const mostAttempts = 5;

/**
 * Shreds what one tenant has: from the tombstone on nobody writes for it, processes forget its keys, and then the KEKs go that its data keys were
 * ever under. Each step is in the database before the next begins, so that it goes on where it was ended, when it is called again. It is over
 * when the receipt says `shredded`: until then a member that is away, or a backup, could give a KEK back.
 */
export class TenantShredding {
  readonly #hsm: ShreddingHsm;

  /** @throws {DataEncryptionError} ERR_DATA_CONFIG_INVALID when the HSM was given as less than an `Hsm` */
  constructor(
    private readonly terms: ShreddingTerms,
    private readonly tenant: Tenant,
    private readonly options: ShredOptions,
  ) {
    this.#hsm = requireHsm(terms.hsm);
  }

  async run(): Promise<SignedShreddingReceipt> {
    const { store } = this.terms;
    if ((await store.find(this.tenant)) === undefined) {
      // Before the tombstone, which cannot be taken back.
      if ((await store.keksOf(this.tenant)).dataKeys === 0) throw tenantUnknown();
      await this.terms.refusePlaintexts();
      this.#refuseSharedKek(await this.#keks());
      await store.begin(this.tenant, (this.options.operator ?? '').slice(0, 200));
    }
    for (let dooms = 0; dooms < mostAttempts;) {
      this.options.signal?.throwIfAborted();
      // A key that was being made when the tombstone was written, or whatever ended the last attempt.
      await store.bury(this.tenant);
      // Read anew for each step: another process may be at it too.
      const row = (await store.find(this.tenant)) as ShreddingEntity;
      if (row.state === 'waiting') {
        const counts = await acknowledgements(store, { ...this.terms, ...this.options });
        await this.#advance(row, { ...counts, state: 'acknowledged' });
      } else if (row.state === 'acknowledged') {
        dooms++;
        await this.#advance(row, { keks: JSON.stringify(await this.#doom(row)), state: 'doomed' });
      } else if (row.state === 'doomed') {
        await this.#saveOthers(doomedBy(row));
        await this.#advance(row, { state: 'destroying' });
      } else if (row.state === 'shredded') {
        return stored(row);
      } else {
        const outcomes = await this.#destroy(row);
        const receipt = outcomes && (await this.#conclude(row, outcomes));
        if (receipt !== undefined) return receipt;
      }
    }
    throw keyUnavailable('shredding: want the data keys of the tenant to stay as they are, got others; call it again');
  }

  /** @returns false when another process has changed the row since it was read */
  async #advance(row: ShreddingEntity, change: Partial<ShreddingEntity>): Promise<boolean> {
    this.options.signal?.throwIfAborted();
    const { state, receipt } = row;
    return this.terms.store.update(this.tenant, { state, receipt }, change);
  }

  async #keks(): Promise<TenantKeks> {
    const { keks } = await this.terms.store.keksOf(this.tenant);
    return TenantKeks.of({ hsm: this.#hsm, kek: this.terms.kek, tenant: this.tenant }, keks);
  }

  #refuseSharedKek({ shared }: TenantKeks): void {
    if (shared.size === 0 || this.options.destroySharedKek) return;
    throw new DataEncryptionError(
      'ERR_DATA_CONFIG_INVALID',
      'shredding: want the consent to destroy the shared KEK that the tenant’s data keys are under, got none; ' +
        'the way out: destroySharedKek, once nothing else is under it, or kekPerTenant before the tenant’s first row',
    );
  }

  /**
   * Said before any other version is made, and kept: a version that comes later, whoever makes it, is one that others' keys are put under.
   * @returns every KEK that a data key of the tenant could be under, in this database or an old copy of it
   */
  async #doom(row: ShreddingEntity): Promise<readonly TenantKek[]> {
    const keks = await this.#keks();
    // Again: a process of before may have stored a key under the shared KEK since.
    this.#refuseSharedKek(keks);
    const doomed = [...doomedBy(row), ...keks.usable];
    for (const label of [keks.own, ...keks.shared]) doomed.push(...(await this.#hsm.listKeys({ label })));
    return distinct(doomed);
  }

  /** Puts the data keys of all others under a KEK that stays. */
  async #saveOthers(doomed: readonly TenantKek[]): Promise<void> {
    const own = this.terms.kek.tenantLabel(this.tenant);
    if (doomed.some(({ label }) => label !== own)) {
      await this.#rewrap(doomed);
      // A process that looked the KEK up before may still store a data key under the old version.
      await delay(this.terms.settleMilliseconds, undefined, { signal: this.options.signal });
    }
    await this.#requireUnused(doomed, doomed);
  }

  async #rewrap(doomed: readonly TenantKek[]): Promise<void> {
    const { kek, rewrap } = this.terms;
    const newest = await kek.newestVersion();
    if (doomed.some(({ id }) => id === newest)) await this.#hsm.rotateKey(kek.labelFor(''));
    await rewrap();
  }

  /**
   * What is under a KEK is lost with it: looked at before each one goes, however sure the steps before were.
   * @param keks  those that are to go now, of the doomed
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE while a data key of anybody else is under one of them
   */
  async #requireUnused(keks: readonly TenantKek[], doomed: readonly TenantKek[]): Promise<void> {
    const { store } = this.terms;
    let used = 0;
    for (let attempt = 0; attempt < mostAttempts; attempt++) {
      this.options.signal?.throwIfAborted();
      await store.bury(this.tenant);
      used = await store.dataKeysUnder(keks.map(({ id }) => id));
      if (used === 0) return;
      await this.#rewrap(doomed);
    }
    throw keyUnavailable(
      `shredding: want no remaining data key under a KEK that is to be destroyed, got ${used}; it was not destroyed, call it again`,
    );
  }

  /** @returns by KEK the receipt of its destruction; undefined when there is one that has to be doomed first */
  async #destroy(row: ShreddingEntity): Promise<readonly Outcome[] | undefined> {
    const keks = await this.#keks();
    // Nobody but the tenant is under those.
    const ownLeft = (await this.#hsm.listKeys({ label: keks.own })).map(({ id, label }) => ({ id, label }));
    const doomed = distinct([...doomedBy(row), ...ownLeft]);
    if (keks.usable.some(({ id }) => doomed.every((kek) => kek.id !== id))) {
      await this.#advance(row, { state: 'acknowledged' });
      return undefined;
    }
    const outcomes: Outcome[] = [];
    const isDoomed = new Set(doomed.map(({ id }) => id));
    for (const { id, label } of distinct([...doomed, ...keks.begun, ...keks.named])) {
      const known = keks.receipts.get(id);
      // What only a row names is on no member now. Should it come back, it is doomed first.
      const isToGo = known === undefined ? isDoomed.has(id) : known.receipt.state !== 'destroyed';
      if (isToGo && known === undefined) await this.#requireUnused([{ id, label }], doomed);
      const receipt = isToGo ? await this.#destroyOne({ id, label }, this.options.operator, known) : known;
      outcomes.push({ id, label, receipt });
    }
    return outcomes;
  }

  async #destroyOne(
    { id, label }: TenantKek,
    operator: string | undefined,
    known: SignedReceipt | undefined,
  ): Promise<SignedReceipt | undefined> {
    const key: HsmKey = {
      ...{ id: id as KeyId, label, algorithm: 'aes-256', usage: 'encrypt', extractable: false },
      ...{ version: 1, members: [], uri: `pkcs11:id=${id}` },
    };
    try {
      return await this.#hsm.destroyKey(key, { operator });
    } catch (error) {
      // Gone from every member that could be asked, and nobody knows of a receipt: the one before says what there is.
      if (error instanceof HsmError && error.code === 'ERR_HSM_KEY_NOT_FOUND') return known;
      throw error;
    }
  }

  /** @returns undefined when another process has changed the row since it was read */
  async #conclude(row: ShreddingEntity, outcomes: readonly Outcome[]): Promise<SignedShreddingReceipt | undefined> {
    const { store, databaseId } = this.terms;
    const { dataKeys } = await store.keksOf(this.tenant);
    const keks = outcomes.map(({ id, label, receipt: proof }) => ({
      ...{ id, label, state: proof?.receipt.state ?? ('pending' as const) },
      receipt: proof && sha256(proof.text),
      backups: proof?.receipt.backups.knowledge ?? ('unknown' as const),
      restorable: [...(proof?.receipt.backups.restorable ?? [])],
    }));
    // No KEK at all is believed of a tenant that never had a data key.
    const isGone = keks.length === 0 ? dataKeys === 0 : keks.every((kek) => kek.state === 'destroyed');
    const state = isGone ? 'shredded' : 'pending';
    const before = row.receipt === '' ? undefined : stored(row);
    const signer = await this.#signer();
    const receipt: ShreddingReceipt = {
      ...{ type: 'nest-hsm data shredding', version: 1, state, database: databaseId, tenant: this.tenant },
      ...{ operator: row.operator, begun: row.begunAt, issued: new Date().toISOString(), dataKeys },
      processes: { acknowledged: row.acknowledged, silent: row.silent },
      keks,
      previous: before && sha256(before.text),
      signer: signer?.fingerprint,
    };
    const text = receiptText(receipt);
    const signature = await signer?.sign(text).catch(() => undefined);
    const isOver = state === 'shredded' && signature !== undefined;
    const change = { receipt: text, signature: signature?.toString('base64') ?? '' };
    const isKept = await this.#advance(row, { ...change, state: isOver ? 'shredded' : 'destroying' });
    return isKept ? { receipt, text, signature } : undefined;
  }

  /** What was done is done, whether it can be signed now or when it is called again. */
  async #signer() {
    try {
      const key = await this.#hsm.receiptKey();
      const spki = (key.publicKey as KeyObject).export({ type: 'spki', format: 'der' });
      const sign = (text: string) => this.#hsm.sign(key, 'ecdsa-sha256', Buffer.from(text), { verify: true });
      return { fingerprint: sha256(spki), sign };
    } catch {
      return undefined;
    }
  }
}

/** Those that were named when they were doomed: nothing else goes. */
function doomedBy({ keks }: ShreddingEntity): readonly TenantKek[] {
  return JSON.parse(keks) as TenantKek[];
}

function distinct(keks: readonly TenantKek[]): readonly TenantKek[] {
  return [...new Map(keks.map(({ id, label }) => [id, { id, label }])).values()];
}

function stored({ receipt: text, signature }: ShreddingEntity): SignedShreddingReceipt {
  const receipt = parseShreddingReceipt(text);
  return signature === '' ? { receipt, text } : { receipt, text, signature: Buffer.from(signature, 'base64') };
}

const methods = ['findKey', 'listKeys', 'rotateKey', 'destroyKey', 'receipts', 'receiptKey', 'sign'] as const;

function requireHsm(hsm: object): ShreddingHsm {
  const given = hsm as Partial<Record<(typeof methods)[number], unknown>>;
  if (methods.every((name) => typeof given[name] === 'function')) return hsm as ShreddingHsm;
  throw new DataEncryptionError('ERR_DATA_CONFIG_INVALID', 'shredding: want hsm to be an Hsm, got less');
}
