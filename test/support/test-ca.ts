import type { CaConfig, CaObserver, SharedJobs } from '@nest-hsm/ca';
import { CertificateAuthority, caStores, openCaDatabase } from '@nest-hsm/ca';
import type { DataSource } from 'typeorm';
import { SoftwareToken } from './software-token.js';

const config: CaConfig = {
  authority: {
    root: { label: 'root', subject: { commonName: 'Test Root' }, algorithm: 'ec-p384' },
    issuing: { label: 'issuing', subject: { commonName: 'Test Issuing' }, algorithm: 'ec-p256' },
    initialize: true,
  },
  allowedNames: { dns: ['*.example.test'] },
};

/** A certificate authority on a software token and a SQLite database in memory, with a clock the test moves. */
export class TestCa {
  readonly token = new SoftwareToken();
  readonly stores: ReturnType<typeof caStores>;
  /** The time, wherever the test puts it. */
  now = new Date('2026-11-22T12:00:00Z');

  private constructor(readonly dataSource: DataSource) {
    this.stores = caStores(dataSource);
  }

  get certificates(): ReturnType<typeof caStores>['certificates'] {
    return this.stores.certificates;
  }

  static async create(): Promise<TestCa> {
    return new TestCa(await openCaDatabase({ type: 'better-sqlite3', database: ':memory:' }));
  }

  async open(
    overrides: Partial<CaConfig> = {},
    observer?: CaObserver,
    sharedJobs?: SharedJobs,
  ): Promise<CertificateAuthority> {
    return CertificateAuthority.open({
      token: this.token,
      ...this.stores,
      observer,
      sharedJobs,
      now: () => this.now,
      config: { ...config, ...overrides },
    });
  }

  async states(): Promise<string[]> {
    const rows: { state: string }[] = await this.dataSource.query(
      'SELECT state FROM ca_certificate ORDER BY reserved_at, serial',
    );
    return rows.map(({ state }) => state);
  }

  async remove(): Promise<void> {
    await this.dataSource.destroy();
  }
}
