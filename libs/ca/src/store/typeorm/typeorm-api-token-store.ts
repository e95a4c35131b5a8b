import { type DataSource, IsNull, type Repository } from 'typeorm';
import type { ApiTokenRecord, ApiTokenStore } from '../api-token-store.js';
import { ApiTokenEntity } from './api-token.entity.js';
import { entityOf } from './entity-of.js';
import { Sql } from './sql.js';
import { withStore } from './store-error.js';

/** API tokens in SQLite or PostgreSQL. */
export class TypeOrmApiTokenStore implements ApiTokenStore {
  readonly #rows: Repository<ApiTokenEntity>;
  readonly #sql: Sql;

  constructor(dataSource: DataSource) {
    this.#rows = dataSource.getRepository(ApiTokenEntity);
    this.#sql = new Sql(dataSource);
  }

  async insert(token: ApiTokenRecord): Promise<void> {
    const row = { ...token, scopes: [...token.scopes], profiles: token.profiles && [...token.profiles] };
    await withStore('store an API token', () => this.#rows.insert(row));
  }

  async find(id: string): Promise<ApiTokenRecord | undefined> {
    const text = 'SELECT * FROM ca_api_token WHERE id = $1';
    const [row] = await withStore('find an API token', () => this.#sql.all(text, id));
    return row && entityOf(this.#rows.metadata, row);
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
