import { CaError } from '../errors.js';
import type { CrlScope, CrlStore } from '../store/crl-store.js';
import { type CrlWatch, watched } from './crl-watch.js';
import { type PublishedCrl, StoredCrl } from './stored-crl.js';

/**
 * The CRLs of a CA that cannot sign here now: its key is kept elsewhere, or it cannot be loaded. What is stored is served and watched all the
 * same, and taken over when it was made anew with the key.
 */
export class KeptCrls {
  readonly #crls = new Map<string, StoredCrl>();

  constructor(
    private readonly crls: CrlStore,
    private readonly issuerId: string,
    /** Its key is kept elsewhere, as is usual; else it should sign, and that it cannot is an alarm at once. */
    private readonly isOffline: boolean,
  ) {}

  async refresh(): Promise<void> {
    for (const shard of new Set([0, ...(await this.crls.shards(this.issuerId))])) {
      for (const kind of ['full', 'delta'] as const) {
        const key = `${shard} ${kind}`;
        const crl = this.#crls.get(key) ?? new StoredCrl(this.crls, { issuerId: this.issuerId, shard, kind });
        await crl.adopt();
        this.#crls.set(key, crl);
      }
    }
  }

  /** @throws {CaError} ERR_CA_CRL_NOT_FOUND */
  find({ shard, kind }: Omit<CrlScope, 'issuerId'>): PublishedCrl {
    const crl = this.#crls.get(`${shard} ${kind}`)?.current;
    if (crl !== undefined) return crl;
    throw new CaError('ERR_CA_CRL_NOT_FOUND', `CRL: want one of this issuer, got ${kind} of shard ${shard}`);
  }

  /** One that was never made has lapsed: certificates name it. */
  watch(now: Date): CrlWatch[] {
    const there = [...this.#crls.values()].flatMap(({ current }) => current ?? []);
    if (!there.some(({ shard, kind }) => shard === 0 && kind === 'full')) there.push(this.#missing);
    const lines = there.map((crl) => watched(crl, now, true));
    return this.isOffline
      ? lines
      : lines.map((line) => (line.condition === 'fresh' ? { ...line, condition: 'overdue' } : line));
  }

  get #missing(): PublishedCrl {
    const [scope, never] = [{ issuerId: this.issuerId, shard: 0, kind: 'full' } as const, new Date(0)];
    const facts = { number: 0, through: 0, entries: 0, tbsSha256: '', thisUpdate: never, nextUpdate: never };
    return { ...scope, ...facts, der: Buffer.alloc(0) };
  }
}
