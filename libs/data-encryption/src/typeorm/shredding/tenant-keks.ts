import { HsmError, type KeyId, type SignedReceipt } from '@nest-hsm/hsm';
import type { KeyEncryptionKey } from '../../key-encryption-key.js';
import type { Tenant } from '../../tenant.js';
import type { ShreddingHsm } from './shredding-hsm.js';

/** A KEK that goes with a tenant. */
export interface TenantKek {
  readonly id: string;
  /** Empty where nobody knows it: no member has the KEK, and there is no receipt of its destruction. */
  readonly label: string;
}

/** The KEKs of a tenant's data keys, as the database, the HSM and the receipts of destroyed keys know them together. */
export class TenantKeks {
  /** @param ids  which KEKs the stored data keys of the tenant name */
  static async of(
    { hsm, kek, tenant }: { readonly hsm: ShreddingHsm; readonly kek: KeyEncryptionKey; readonly tenant: Tenant },
    ids: readonly string[],
  ): Promise<TenantKeks> {
    // The last of each key is what holds.
    const receipts = new Map((await hsm.receipts()).map((each) => [each.receipt.key.id as string, each]));
    const named: TenantKek[] = [];
    const usable: TenantKek[] = [];
    for (const id of ids) {
      const known = receipts.get(id)?.receipt.key.label;
      const found = known === undefined ? await findLabel(hsm, id) : undefined;
      named.push({ id, label: known ?? found ?? '' });
      if (found !== undefined) usable.push({ id, label: found });
    }
    return new TenantKeks(kek.tenantLabel(tenant), named, usable, receipts);
  }

  private constructor(
    /** The label of KEKs that only this tenant's data keys are under. */
    readonly own: string,
    /** Those that the tenant's stored data keys name. */
    readonly named: readonly TenantKek[],
    /** Those of them that can still be used. */
    readonly usable: readonly TenantKek[],
    /** The last receipt of each key whose destruction has begun, which no key is found by any more. */
    readonly receipts: ReadonlyMap<string, SignedReceipt>,
  ) {}

  /** Labels of KEKs that others' data keys are under too: a rewrapped one stays under its label. */
  get shared(): ReadonlySet<string> {
    return new Set(this.named.map(({ label }) => label).filter((label) => label !== '' && label !== this.own));
  }

  /** Every KEK whose destruction has begun and that a data key of the tenant may have been under. */
  get begun(): readonly TenantKek[] {
    const { own, shared } = this;
    const keys = [...this.receipts.values()].map(({ receipt }) => receipt.key);
    return keys.filter(({ label }) => label === own || shared.has(label)).map(({ id, label }) => ({ id, label }));
  }
}

/** @returns undefined for a key that is on no member, or whose destruction has begun */
async function findLabel(hsm: ShreddingHsm, id: string): Promise<string | undefined> {
  try {
    return (await hsm.findKey({ id: id as KeyId })).label;
  } catch (error) {
    if (error instanceof HsmError && error.code === 'ERR_HSM_KEY_NOT_FOUND') return undefined;
    throw error;
  }
}
