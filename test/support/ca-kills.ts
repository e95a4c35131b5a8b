import { readFileSync } from 'node:fs';
import { X509Certificate } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { CaHome, CaService, run } from './ca-service.js';
import { buildCsr } from './csr.js';
import { TestPostgres } from './postgres.js';

/** Where a starting app is killed, in the order it gets there; each start goes on from where the last one was killed. */
const startSteps = {
  root: ['key-generated', 'certificate-reserved', 'certificate-linted', 'certificate-committed', 'certificate-signed'],
  issuing: ['key-generated', 'certificate-reserved', 'certificate-committed', 'certificate-signed'],
  crl: ['crl-committed', 'crl-signed'],
};
const issuingSteps = [
  'certificate-reserved',
  'certificate-linted',
  'certificate-committed',
  'certificate-signed',
  'certificate-completed',
];

/**
 * Kills the app at every step of its first start and of an issuance; what is left must be whole. A start takes seconds, so the
 * gate does this on SQLite, with the steps of the root's certificate alone, and the full tier on PostgreSQL with those of the issuing CA's too.
 */
export function describeKills(type: 'better-sqlite3' | 'postgres'): void {
  describe(`kill -9 of the CA app on ${type}`, () => {
    let postgres: TestPostgres | undefined;
    let home: CaHome;
    const csr = buildCsr();

    beforeAll(async () => {
      postgres = type === 'postgres' ? await TestPostgres.start() : undefined;
      home = new CaHome({ ticketSeconds: 1 });
      const database = postgres && { type, url: await postgres.database('ca') };
      home.configure({ ...(database !== undefined && { database }) });
    });

    afterAll(async () => {
      await postgres?.stop();
      home?.remove();
    });

    async function query(sql: string): Promise<Record<string, unknown>[]> {
      if (postgres === undefined) return home.sql(sql);
      const url = /url: (\S+)/.exec(readFileSync(home.configFile, 'utf8'))?.[1];
      const client = new Client({ connectionString: url });
      await client.connect();
      const { rows } = await client.query<Record<string, unknown>>(sql);
      await client.end();
      return rows;
    }

    test('at each step of its first start: the next one goes on, with one key and one certificate each', async () => {
      const { root: ofRoot, issuing: ofIssuing, crl } = startSteps;
      for (const step of [...ofRoot, ...(type === 'postgres' ? ofIssuing : []), ...crl]) {
        const service = CaService.spawnKilledAt(home, step, 'start');
        expect([step, (await service.exited).signal, service.stderr]).toEqual([step, 'SIGKILL', '']);
      }
      const service = await CaService.start(home);
      const rootPem = await (await service.get('/v1/ca/root.pem')).text();
      const chainPem = await (await service.get('/v1/ca/chain.pem')).text();
      const crlPem = await (await service.get('/v1/crl.pem')).text();
      await service.stop();

      const [root, chain] = [home.file('root.pem', rootPem), home.file('chain.pem', chainPem)];
      expect(run('openssl', 'verify', '-x509_strict', '-CAfile', root, chain)).toContain('OK');
      run('openssl', 'crl', '-in', home.file('crl.pem', crlPem), '-noout', '-CAfile', chain);
      expect(
        await query(
          "SELECT profile, count(*) AS rows FROM ca_certificate WHERE state = 'issued' GROUP BY profile ORDER BY profile",
        ),
      ).toMatchObject([{ profile: 'issuing-ca' }, { profile: 'root-ca' }]);
      expect((await query("SELECT serial FROM ca_certificate WHERE state = 'issued'")).length).toBe(2);
      // One that was not finished keeps its number and its digest, and the next has the next number.
      const crls = await query('SELECT issuer_id, state FROM ca_crl ORDER BY number');
      const newest = new Map(crls.map(({ issuer_id: issuer, state }) => [issuer, state]));
      expect([...newest.values()].every((state) => state === 'issued')).toBe(true);
      expect(crls.every(({ state }) => state === 'issued' || state === 'signing')).toBe(true);
      expect(newest.size).toBeGreaterThan(0);
      const objects = run(
        'sh',
        '-c',
        `SOFTHSM2_CONF=${home.token.softHsmConf} find ${home.token.directory}/tokens -name '*.object' ! -name token.object | wc -l`,
      );
      // Two of each key pair, and the key of the seals.
      expect(Number(objects)).toBe(5);
    }, 240_000);

    test('at each step of an issuance: what was committed is completed with the same TBS, nothing else is signed', async () => {
      const digestsBefore = new Map<string, unknown>();
      for (const step of issuingSteps) {
        const service = await CaService.spawnKilledAt(home, step, 'request').listening();
        await expect(service.post(csr, 'application/pkcs10')).rejects.toThrow();
        expect([step, (await service.exited).signal]).toEqual([step, 'SIGKILL']);
        const rows = await query("SELECT serial, tbs_sha256 FROM ca_certificate WHERE state IN ('signing', 'issued')");
        for (const row of rows) digestsBefore.set(String(row.serial), row.tbs_sha256);
      }
      // The tickets of what was only reserved expire.
      await delay(1_100);
      const service = await CaService.start(home);

      const rows = await query('SELECT serial, state, profile, tbs_sha256, certificate FROM ca_certificate');
      const leaves = rows.filter(({ profile }) => profile === 'tls-server');
      expect(leaves.map(({ state }) => state).sort()).toEqual(['issued', 'issued', 'issued', 'voided', 'voided']);
      const issued = rows.filter(({ state }) => state === 'issued');
      expect(new Map(issued.map(({ serial, tbs_sha256 }) => [serial, tbs_sha256]))).toEqual(digestsBefore);
      for (const { serial } of leaves) {
        const response = await service.get(`/v1/certificates/${String(serial)}`);
        const wanted = issued.some((row) => row.serial === serial) ? 200 : 404;
        expect([serial, response.status]).toEqual([serial, wanted]);
        if (wanted === 404) continue;
        const { certificate } = (await response.json()) as { certificate: string };
        expect(new X509Certificate(certificate).serialNumber.toLowerCase()).toBe(serial);
        run(
          'openssl',
          'verify',
          '-CAfile',
          home.file('root.pem'),
          '-untrusted',
          home.file('chain.pem'),
          home.file('leaf.pem', certificate),
        );
      }
      await service.stop();
    }, 240_000);

    test('every digest its keys ever signed belongs to a row', async () => {
      const signed = await home.signedDigests();
      const rows = [
        ...(await query('SELECT tbs_sha256 FROM ca_certificate')),
        ...(await query('SELECT tbs_sha256 FROM ca_crl')),
      ];
      const known = new Set(rows.map((row) => row.tbs_sha256));
      expect(signed.length).toBeGreaterThan(6);
      expect(signed.filter((digest) => !known.has(digest))).toEqual([]);
    });
  });
}
