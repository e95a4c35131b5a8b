import { setTimeout as delay } from 'node:timers/promises';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import { CaHome, CaService } from '../support/ca-service.js';
import { buildCsr } from '../support/csr.js';
import { TestPostgres } from '../support/postgres.js';

const csr = buildCsr();

describe.each(['better-sqlite3', 'postgres'] as const)('the CA app on %s', (type) => {
  let postgres: TestPostgres | undefined;
  let url: string;
  let home: CaHome;
  let services: CaService[];

  beforeAll(async () => {
    home = new CaHome();
    if (type === 'better-sqlite3') return;
    postgres = await TestPostgres.start();
    url = await postgres.database('ca');
    home.configure({ database: { type, url } });
  });
  afterAll(async () => {
    await Promise.all((services ?? []).map((service) => service.stop()));
    await postgres?.stop();
    home?.remove();
  });

  test('started three times at once on an empty database and token makes one CA', async () => {
    services = await Promise.all(Array.from({ length: 3 }, () => CaService.start(home)));
    const chains = await Promise.all(services.map(async (each) => (await each.get('/v1/ca/chain.pem')).text()));
    expect(new Set(chains).size).toBe(1);
    const crls = await Promise.all(services.map(async (each) => (await each.get('/v1/crl.pem')).text()));
    expect(new Set(crls).size).toBe(1);
    const [first] = services;
    for (const service of services) {
      const issued = await service.post(csr, 'application/pkcs10');
      expect(issued.status).toBe(201);
      expect((await first.get(issued.headers.get('location') ?? '')).status).toBe(200);
    }
  });

  test.each([
    ['a path that does not decode', '/%zz'],
    ['a serial without end', `/v1/certificates/${'a'.repeat(200)}`],
  ])('answers %s with a problem document', async (_, path) => {
    const response = await services[0].get(path);
    const type = response.headers.get('content-type');
    expect([response.status, type]).toEqual([400, 'application/problem+json; charset=utf-8']);
    expect(await response.json()).toMatchObject({ code: 'ERR_API_REQUEST_INVALID' });
  });

  test('answers 503 while its database does not, and goes on afterwards', async () => {
    const [service] = services;
    const release = await holdTable();
    const refused = await service.post(csr, 'application/pkcs10');
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
    expect(await refused.json()).toMatchObject({
      code: 'ERR_CA_STORE_UNAVAILABLE',
      detail: expect.not.stringContaining('ca_certificate') as string,
    });
    expect((await service.get('/v1/crl.pem')).status).toBe(200);
    await release();
    let status = 503;
    for (let attempt = 0; status === 503 && attempt < 100; attempt += 1) {
      status = (await service.post(csr, 'application/pkcs10')).status;
      if (status === 503) await delay(100);
    }
    expect(status).toBe(201);
  });

  /** Keeps the table from everybody else. @returns gives it back */
  async function holdTable(): Promise<() => Promise<void>> {
    if (type === 'better-sqlite3') {
      const holder = new DatabaseSync(home.database);
      holder.exec('BEGIN EXCLUSIVE');
      return async () => Promise.resolve(holder.close());
    }
    const holder = new Client({ connectionString: url });
    await holder.connect();
    await holder.query('BEGIN; LOCK TABLE ca_certificate IN ACCESS EXCLUSIVE MODE');
    return () => holder.end();
  }
});
