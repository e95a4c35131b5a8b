import type { KeyObject } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type Hsm, HsmError, type HsmKey, type KeyId, type SignedReceipt } from '@nest-hsm/hsm';
import { DataEncryptionError } from '../../errors.js';
import type { KeyEncryptionKey } from '../../key-encryption-key.js';
import {
  parseShreddingReceipt,
  receiptText,
  sha256,
  type ShreddingReceipt,
  type SignedShreddingReceipt,
} from '../../shredding/shredding-receipt.js';
import type { Tenant } from '../../tenant.js';
import type { ShreddingEntity } from '../store/shredding.entity.js';
import type { ShreddingStore } from '../store/shredding.store.js';
import { acknowledgements, type WaitedProcess } from './process-acknowledgement.js';

/** What shredding needs of an HSM beside what encryption does. `Hsm` is one. */
export type ShreddingHsm = Pick<
  Hsm,
  'findKey' | 'listKeys' | 'rotateKey' | 'destroyKey' | 'receipts' | 'receiptKey' | 'sign'
>;

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
  /** Encrypts every remaining data key under the newest version of the KEK. @returns how many were not yet */
  readonly rewrap: () => Promise<number>;
  /** How long until a process that had begun to store a data key has done so. */
  readonly settleMilliseconds: number;
}

/** A KEK that goes with a tenant. */
interface DoomedKek {
  readonly id: string;
  readonly label: string;
}

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
    let row = await store.find(this.tenant);
    if (row === undefined) {
      await this.#refuseSharedKek();
      row = await store.begin(this.tenant, (this.options.operator ?? '').slice(0, 200));
    }
    // Whatever ended the last attempt.
    await store.bury(this.tenant);
    if (row.state === 'waiting') {
      await this.#advance({
        ...(await acknowledgements(store, { ...this.terms, ...this.options })),
        state: 'acknowledged',
      });
      // A key that was being made when the tombstone was written.
      await store.bury(this.tenant);
      row = await this.#row();
    }
    if (row.state === 'acknowledged') {
      await this.#advance({ keks: JSON.stringify(await this.#doom()), state: 'destroying' });
      row = await this.#row();
    }
    const receipts = await this.#destroy(JSON.parse(row.keks) as DoomedKek[]);
    return this.#conclude(row, receipts);
  }

  async #row(): Promise<ShreddingEntity> {
    return (await this.terms.store.find(this.tenant)) as ShreddingEntity;
  }

  async #advance(change: Partial<ShreddingEntity>): Promise<void> {
    this.options.signal?.throwIfAborted();
    await this.terms.store.update(this.tenant, change);
  }

  /** Before the tombstone, which cannot be taken back. */
  async #refuseSharedKek(): Promise<void> {
    const { shared } = await this.#keks();
    if (shared.size === 0 || this.options.destroySharedKek) return;
    throw new DataEncryptionError(
      'ERR_DATA_CONFIG_INVALID',
      'shredding: want the consent to destroy the shared KEK that the tenant’s data keys are under, got none; ' +
        'the way out: destroySharedKek, once nothing else is under it, or kekPerTenant before the tenant’s first row',
    );
  }

  /** What the tenant's data keys are under, and were: a rewrapped one stays under its label. */
  async #keks(): Promise<{ readonly own: string; readonly shared: ReadonlySet<string> }> {
    const own = this.terms.kek.tenantLabel(this.tenant);
    const shared = new Set<string>();
    for (const id of (await this.terms.store.keksOf(this.tenant)).keks) {
      const label = await this.#labelOf(id);
      if (label !== undefined && label !== own) shared.add(label);
    }
    return { own, shared };
  }

  /** @returns undefined for a key that is gone from every member */
  async #labelOf(id: string): Promise<string | undefined> {
    try {
      return (await this.#hsm.findKey({ id: id as KeyId })).label;
    } catch (error) {
      if (error instanceof HsmError && error.code === 'ERR_HSM_KEY_NOT_FOUND') return undefined;
      throw error;
    }
  }

  /** Brings the others into safety. @returns every KEK that a data key of the tenant could be under, in this database or an old copy of it */
  async #doom(): Promise<readonly DoomedKek[]> {
    const { shared, own } = await this.#keks();
    const doomed = [...(await this.#hsm.listKeys({ label: own }))];
    if (shared.size > 0) {
      const next = await this.#hsm.rotateKey(this.terms.kek.labelFor(''));
      // A process that looked the KEK up before may still store a data key under the old version.
      do {
        while ((await this.terms.rewrap()) > 0) this.options.signal?.throwIfAborted();
        await delay(this.terms.settleMilliseconds, undefined, { signal: this.options.signal });
      } while ((await this.terms.rewrap()) > 0);
      for (const label of shared) {
        doomed.push(...(await this.#hsm.listKeys({ label })).filter(({ id }) => id !== next.id));
      }
    }
    return doomed.map(({ id, label }) => ({ id, label }));
  }

  /** @returns by KEK the receipt of its destruction */
  async #destroy(keks: readonly DoomedKek[]): Promise<readonly (DoomedKek & { readonly receipt?: SignedReceipt })[]> {
    const { operator } = this.options;
    const outcomes = [];
    for (const { id, label } of keks) {
      const known = (await this.#hsm.receipts()).findLast(({ receipt }) => receipt.key.id === id);
      const isDone = known?.receipt.state === 'destroyed';
      const receipt = isDone ? known : await this.#destroyOne({ id, label }, operator, known);
      outcomes.push({ id, label, receipt });
    }
    return outcomes;
  }

  async #destroyOne(
    { id, label }: DoomedKek,
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

  async #conclude(
    row: ShreddingEntity,
    destroyed: readonly (DoomedKek & { readonly receipt?: SignedReceipt })[],
  ): Promise<SignedShreddingReceipt> {
    const { store, databaseId } = this.terms;
    const keks = destroyed.map(({ id, label, receipt: proof }) => ({
      ...{ id, label, state: proof?.receipt.state ?? ('pending' as const) },
      receipt: proof && sha256(proof.text),
      backups: proof?.receipt.backups.knowledge ?? ('unknown' as const),
      restorable: [...(proof?.receipt.backups.restorable ?? [])],
    }));
    const state = keks.every((kek) => kek.state === 'destroyed') ? 'shredded' : 'pending';
    const before = row.receipt === '' ? undefined : stored(row);
    if (before?.receipt.state === 'shredded' && before.signature !== undefined) return before;
    const signer = await this.#signer();
    const receipt: ShreddingReceipt = {
      ...{ type: 'nest-hsm data shredding', version: 1, state, database: databaseId, tenant: this.tenant },
      ...{ operator: row.operator, begun: row.begunAt, issued: new Date().toISOString() },
      dataKeys: (await store.keksOf(this.tenant)).dataKeys,
      processes: { acknowledged: row.acknowledged, silent: row.silent },
      keks,
      previous: before && sha256(before.text),
      signer: signer?.fingerprint,
    };
    const text = receiptText(receipt);
    const signature = await signer?.sign(text).catch(() => undefined);
    const isOver = state === 'shredded' && signature !== undefined;
    const becomes = isOver ? 'shredded' : 'destroying';
    await store.update(this.tenant, { receipt: text, signature: signature?.toString('base64') ?? '', state: becomes });
    return { receipt, text, signature };
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
