import { openCaDatabase, TypeOrmExpiryStore } from '@nest-hsm/ca';
import type { DataSource } from 'typeorm';
import { CaHome, CaService } from '../../test/support/ca-service.js';
import { buildCsr } from '../../test/support/csr.js';
import { HttpClients, httpRequest } from './http-connection.js';

const day = 86_400_000;
/** Certificates that each round revokes, and all rounds. */
const revocations = 100;
const mostRevoked = 10_000;

/** A CA with so many certificates, of which the first are revoked one by one. */
export class StoredCa {
  readonly #home = new CaHome({ crl: { spacingSeconds: 3_600 } });
  #serials: string[] = [];
  #service: CaService | undefined;

  constructor(private readonly certificates: number) {}

  /**
   * One certificate is issued, and its row written again and again, expiring over a year, with its name. Rows go in in the order
   * of their serials and indexes are made afterwards, which takes a fifth of the time; what is in the database is the same.
   */
  async prepare(): Promise<void> {
    const service = await CaService.start(this.#home);
    await service.post(buildCsr(), 'application/pkcs10');
    await service.stop();
    await this.#withDatabase(async (dataSource) => {
      await dataSource.query('PRAGMA synchronous = OFF');
      const indexes: { name: string; sql: string }[] = await dataSource.query(
        `SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'ca_certificate' AND sql IS NOT NULL`,
      );
      for (const { name } of indexes) await dataSource.query(`DROP INDEX "${name}"`);
      const columns: { name: string }[] = await dataSource.query('PRAGMA table_info(ca_certificate)');
      const values = columns.map(({ name }) => {
        // 64 ascending bits, then 64 random ones.
        if (name === 'serial')
          return `printf('%016x', (1 << 60) + n * ((1 << 60) / ${this.certificates})) || lower(hex(randomblob(8)))`;
        if (name === 'not_after') return 'row.not_after + (n * 31536)';
        if (name === 'reserved_at') return 'row.reserved_at + n';
        return name === 'idempotency_key' ? 'NULL' : `row.${name}`;
      });
      await dataSource.query(`WITH RECURSIVE counter (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < ${this.certificates})
        INSERT INTO ca_certificate (${columns.map(({ name }) => name).join(', ')})
        SELECT ${values.join(', ')} FROM counter, (SELECT * FROM ca_certificate WHERE profile = 'tls-server' LIMIT 1) AS row`);
      await dataSource.query(`INSERT INTO ca_certificate_name (value, reserved_at, serial)
        SELECT 'dns:www.example.test', reserved_at, serial FROM ca_certificate WHERE profile = 'tls-server'
        ORDER BY reserved_at, serial ON CONFLICT DO NOTHING`);
      for (const { sql } of indexes) await dataSource.query(sql);
      const rows: { serial: string }[] = await dataSource.query(
        `SELECT serial FROM ca_certificate WHERE profile = 'tls-server' ORDER BY reserved_at LIMIT ${mostRevoked}`,
      );
      this.#serials = rows.map(({ serial }) => serial);
    });
  }

  /** @returns seconds until it listened */
  async start(): Promise<number> {
    const start = performance.now();
    this.#service = await CaService.start(this.#home);
    return (performance.now() - start) / 1000;
  }

  async stop(): Promise<void> {
    await this.#service?.stop();
    this.#service = undefined;
  }

  /** Revokes one after another. @returns milliseconds for each */
  async revokeMilliseconds(): Promise<number> {
    const { url, token } = this.#running;
    const serials = this.#serials.splice(0, revocations);
    if (serials.length < revocations) throw new Error(`bench: want ${revocations} certificates to revoke, got fewer`);
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const body = Buffer.from(JSON.stringify({ reason: 'superseded' }));
    const clients = new HttpClients(url, 1);
    const start = performance.now();
    for (const serial of serials)
      await clients.send(0, httpRequest('PUT', `/v1/certificates/${serial}/revocation`, headers, body));
    const milliseconds = (performance.now() - start) / serials.length;
    clients.close();
    return milliseconds;
  }

  /** The second page of a name that every certificate has. */
  async searchMilliseconds(): Promise<number> {
    const { url, token } = this.#running;
    const clients = new HttpClients(url, 1);
    const get = async (query: string): Promise<{ next?: string }> => {
      const request = httpRequest('GET', `/v1/certificates?${query}`, { authorization: `Bearer ${token}` });
      return JSON.parse((await clients.send(0, request)).toString()) as { next?: string };
    };
    const { next = '' } = await get('name=dns:www.example.test');
    const start = performance.now();
    await get(`name=dns:www.example.test&cursor=${encodeURIComponent(next)}`);
    const milliseconds = performance.now() - start;
    clients.close();
    return milliseconds;
  }

  /** A page of what expires in a month, somewhere in the middle: the question of every minute, for each issuer and distance. */
  async scanMilliseconds(): Promise<number> {
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

  remove(): void {
    this.#home.remove();
  }

  get #running(): CaService {
    if (this.#service === undefined) throw new Error('bench: want the CA started');
    return this.#service;
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
