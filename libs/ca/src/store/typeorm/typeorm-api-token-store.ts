import { type DataSource, IsNull, type Repository } from 'typeorm';
import type { ApiTokenRecord, ApiTokenStore } from '../api-token-store.js';
import { ApiTokenEntity } from './api-token.entity.js';
import { withStore } from './store-error.js';

/** API tokens in SQLite or PostgreSQL. */
export class TypeOrmApiTokenStore implements ApiTokenStore {
  readonly #rows: Repository<ApiTokenEntity>;

  constructor(dataSource: DataSource) {
    this.#rows = dataSource.getRepository(ApiTokenEntity);
  }

  async insert(token: ApiTokenRecord): Promise<void> {
    const row = { ...token, scopes: [...token.scopes], profiles: token.profiles && [...token.profiles] };
    await withStore('store an API token', () => this.#rows.insert(row));
  }

  async find(id: string): Promise<ApiTokenRecord | undefined> {
    return (await withStore('find an API token', () => this.#rows.findOneBy({ id }))) ?? undefined;
  }

  async list(): Promise<ApiTokenRecord[]> {
    return withStore('list API tokens', () => this.#rows.find({ order: { createdAt: 'DESC', id: 'ASC' } }));
  }

  async revoke(id: string, at: Date): Promise<boolean> {
    const { affected } = await withStore('revoke an API token', () =>
      this.#rows.update({ id, revokedAt: IsNull() }, { revokedAt: at }),
    );
    return affected === 1 || (await this.find(id)) !== undefined;
  }
}
