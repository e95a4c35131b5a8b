import { openCaDatabase, TypeOrmExpiryStore } from '@nest-hsm/ca';
import type { DataSource } from 'typeorm';
import { CaHome, CaService } from '../../test/support/ca-service.js';
import { buildCsr } from '../../test/support/csr.js';
import type { CaseFacts, Samples } from '../harness/contest.js';

const certificates = 1_000_000;
const day = 86_400_000;

/** The CA app with a million certificates in SQLite: until it listens, and until it has looked for all that expire in a month. */
export const millionCases = {
  'start-1m-s': { unit: 's', better: 'lower' },
  'expiry-scan-1m-ms': { unit: 'ms', better: 'lower' },
} as const satisfies Record<string, CaseFacts>;

export class MillionBench {
  readonly #home = new CaHome({ logLevel: 'info' });

  /** One certificate is issued, and its row written a million times more, expiring over a year. */
  async prepare(): Promise<void> {
    const service = await CaService.start(this.#home);
    await service.post(buildCsr(), 'application/pkcs10');
    await service.stop();
    await this.#withDatabase(async (dataSource) => {
      const columns: { name: string }[] = await dataSource.query('PRAGMA table_info(ca_certificate)');
      const values = columns.map(({ name }) => {
        if (name === 'serial') return 'lower(hex(randomblob(16)))';
        if (name === 'not_after') return 'row.not_after + (counter.n * 31536)';
        return name === 'idempotency_key' ? 'NULL' : `row.${name}`;
      });
      await dataSource.query(`WITH RECURSIVE counter (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < ${certificates})
        INSERT INTO ca_certificate (${columns.map(({ name }) => name).join(', ')})
        SELECT ${values.join(', ')} FROM counter, (SELECT * FROM ca_certificate WHERE profile = 'tls-server' LIMIT 1) AS row`);
    });
  }

  async run(): Promise<Samples> {
    const start = performance.now();
    const service = await CaService.start(this.#home);
    const seconds = (performance.now() - start) / 1000;
    await service.stop();
    return { 'start-1m-s': { value: seconds }, 'expiry-scan-1m-ms': { value: await this.#scanMilliseconds() } };
  }

  remove(): void {
    this.#home.remove();
  }

  /** A page of what expires in a month, somewhere in the middle: the question of every minute, for each issuer and distance. */
  async #scanMilliseconds(): Promise<number> {
    return this.#withDatabase(async (dataSource) => {
      const query = "SELECT issuer_id, min(not_after) AS first FROM ca_certificate WHERE profile = 'tls-server'";
      const [{ issuer_id: issuerId, first }]: { issuer_id: string; first: number }[] = await dataSource.query(query);
      const middle = first + 180 * day;
      const store = new TypeOrmExpiryStore(dataSource);
      const after = { notAfter: new Date(middle), serial: '' };
      const start = performance.now();
      const found = await store.listExpiring({ issuerId, after, until: new Date(middle + 30 * day), limit: 100 });
      const milliseconds = performance.now() - start;
      if (found.length !== 100) throw new Error(`bench: want a page of 100 certificates, got ${found.length}`);
      return milliseconds;
    });
  }

  async #withDatabase<T>(work: (dataSource: DataSource) => Promise<T>): Promise<T> {
    const dataSource = await openCaDatabase({ type: 'better-sqlite3', database: this.#home.database });
    try {
      return await work(dataSource);
    } finally {
      await dataSource.destroy();
    }
  }
}
