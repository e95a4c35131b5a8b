import Database from 'better-sqlite3';
import { CaHome, CaService } from '../../test/support/ca-service.js';
import { buildCsr } from '../../test/support/csr.js';
import type { CaseFacts, Samples } from '../harness/contest.js';

const certificates = 1_000_000;

/** The CA app with a million certificates in SQLite: until it listens, and until it has looked for all that expire in a month. */
export const millionCases = {
  'start-1m-s': { unit: 's', better: 'lower' },
  'expiry-scan-1m-ms': { unit: 'ms', better: 'lower' },
} as const satisfies Record<string, CaseFacts>;

/** What the scan asks for each issuer and distance; the one there is when nothing expires is the one that is asked every minute. */
const scan = `SELECT serial FROM ca_certificate AS row
  WHERE issuer_id = $issuer AND (not_after, serial) > ($after, '') AND not_after <= $until AND state = 'issued'
    AND NOT EXISTS (SELECT 1 FROM ca_revocation AS status
      WHERE status.issuer_id = row.issuer_id AND status.serial = row.serial AND status.state = 'revoked')
  ORDER BY not_after, serial LIMIT 100`;

export class MillionBench {
  readonly #home = new CaHome({ logLevel: 'info' });

  /** One certificate is issued, and its row written a million times more, expiring over a year. */
  async prepare(): Promise<void> {
    const service = await CaService.start(this.#home);
    await service.post(buildCsr(), 'application/pkcs10');
    await service.stop();
    const database = new Database(this.#home.database);
    const columns = database.pragma('table_info(ca_certificate)') as { name: string }[];
    const values = columns.map(({ name }) => {
      if (name === 'serial') return 'lower(hex(randomblob(16)))';
      if (name === 'not_after') return 'row.not_after + (counter.n * 31536)';
      return name === 'idempotency_key' ? 'NULL' : `row.${name}`;
    });
    database.exec(`WITH RECURSIVE counter (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < ${certificates})
      INSERT INTO ca_certificate (${columns.map(({ name }) => name).join(', ')})
      SELECT ${values.join(', ')} FROM counter, (SELECT * FROM ca_certificate WHERE profile = 'tls-server' LIMIT 1) AS row`);
    database.close();
  }

  async run(): Promise<Samples> {
    const start = performance.now();
    const service = await CaService.start(this.#home);
    const seconds = (performance.now() - start) / 1000;
    await service.stop();
    return { 'start-1m-s': { value: seconds }, 'expiry-scan-1m-ms': { value: this.#scanMilliseconds() } };
  }

  remove(): void {
    this.#home.remove();
  }

  #scanMilliseconds(): number {
    const database = new Database(this.#home.database, { readonly: true });
    const query = "SELECT issuer_id, min(not_after) AS first FROM ca_certificate WHERE profile = 'tls-server'";
    const { issuer_id: issuer, first } = database.prepare(query).get() as { issuer_id: string; first: number };
    const statement = database.prepare(scan);
    const start = performance.now();
    const found = statement.all({ issuer, after: first, until: first + 30 * 86_400_000 });
    const milliseconds = performance.now() - start;
    database.close();
    if (found.length !== 100) throw new Error(`bench: want a page of 100 certificates, got ${found.length}`);
    return milliseconds;
  }
}
