import { type DataSource, type Repository } from 'typeorm';
import type { CommittedCrl, CrlRecord, CrlStore } from '../crl-store.js';
import { CrlEntity } from './crl.entity.js';
import { insertUnique, withStore } from './store-error.js';

/** CRLs in SQLite or PostgreSQL. */
export class TypeOrmCrlStore implements CrlStore {
  readonly #rows: Repository<CrlEntity>;

  constructor(dataSource: DataSource) {
    this.#rows = dataSource.getRepository(CrlEntity);
  }

  async commit(crl: CommittedCrl): Promise<boolean> {
    return insertUnique('commit a CRL', () => this.#rows.insert({ ...crl, state: 'signing' }));
  }

  async complete(issuerId: string, number: number, der: Buffer): Promise<boolean> {
    const change = { state: 'issued', der, tbs: () => 'NULL' } as const;
    const { affected } = await withStore('complete a CRL', () =>
      this.#rows.update({ issuerId, number, state: 'signing' }, change),
    );
    return affected === 1;
  }

  async highestNumber(issuerId: string): Promise<number> {
    return (await withStore('find the CRL number', () => this.#rows.maximum('number', { issuerId }))) ?? 0;
  }

  async newest(issuerId: string): Promise<CrlRecord | undefined> {
    const where = { issuerId, state: 'issued' } as const;
    return (
      (await withStore('find the CRL', () => this.#rows.findOne({ where, order: { number: 'DESC' } }))) ?? undefined
    );
  }

  async listSigning(issuerId: string): Promise<CrlRecord[]> {
    const where = { issuerId, state: 'signing' } as const;
    return withStore('list unfinished CRLs', () => this.#rows.find({ where, order: { number: 'ASC' } }));
  }
}
