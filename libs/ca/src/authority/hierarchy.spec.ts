import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { HsmKey } from '@nest-hsm/hsm';
import type { DataSource } from 'typeorm';
import { SoftwareToken } from '../../../../test/support/software-token.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import { CertificateAuthority } from '../certificate-authority.js';
import type { CaConfig } from '../config.js';
import { openCaDatabase } from '../store/typeorm/database.js';
import { caStores } from '../store/typeorm/stores.js';

const root = { label: 'root', subject: { commonName: 'Test Root' }, algorithm: 'ec-p384' } as const;
const issuing = { label: 'issuing', subject: { commonName: 'Test Issuing' }, algorithm: 'ec-p256' } as const;
const unusable = { code: 'ERR_CA_ISSUER_UNUSABLE' };

/** Takes a moment over a key, as a token does. */
class SlowToken extends SoftwareToken {
  override async generateKeyPair(key: Parameters<SoftwareToken['generateKeyPair']>[0]): Promise<HsmKey> {
    await delay(20);
    return super.generateKeyPair(key);
  }
}

test('several processes that initialise one CA at once make one', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-hierarchy-'));
  const token = new SlowToken();
  const config: CaConfig = { authority: { root, issuing, initialize: true } };
  const database = { type: 'better-sqlite3', database: join(directory, 'ca.sqlite') } as const;
  const dataSources = await Promise.all(Array.from({ length: 4 }, () => openCaDatabase(database)));
  const start = async (dataSource: DataSource): Promise<string> => {
    const authority = await CertificateAuthority.open({ token, ...caStores(dataSource), config });
    await authority.close();
    return [...authority.chain.map(({ der }) => der), authority.crl.der].map((der) => der.toString('hex')).join();
  };
  const seen = await Promise.all(dataSources.map(start));
  expect(new Set(seen).size).toBe(1);
  expect((await token.listKeys()).map(({ label }) => label)).toEqual(['root', 'issuing', 'ca-seal']);
  for (const dataSource of dataSources) await dataSource.destroy();
  rmSync(directory, { recursive: true });
});

test('a CA carries the whole distinguished name it was given, the most general attribute first', async () => {
  const ca = await TestCa.create();
  const whole = { country: 'DE', stateOrProvince: 'Bayern', locality: 'München', organization: 'Example', organizationalUnit: 'PKI' }; // prettier-ignore
  const name = (commonName: string) => ({ subject: { ...whole, commonName } });
  const authority = { root: { ...root, ...name('R') }, issuing: { ...issuing, ...name('I') }, initialize: true };
  const certificate = new X509Certificate((await ca.open({ authority })).issuer.certificate.der);
  const shared = ['C=DE', 'ST=Bayern', 'L=München', 'O=Example', 'OU=PKI'];
  expect(certificate.issuer.split('\n')).toEqual([...shared, 'CN=R']);
  expect(certificate.subject.split('\n')).toEqual([...shared, 'CN=I']);
  await ca.remove();
});

describe.each([true, false])('an existing CA, opened with initialize: %s', (initialize) => {
  let ca: TestCa;
  beforeEach(async () => {
    ca = await TestCa.create();
    await ca.open();
  });
  afterEach(() => ca.remove());

  test.each<[string, Partial<typeof issuing> & object, string]>([
    ['another subject', { subject: { commonName: 'Renamed' } } as never, 'want the configured subject'],
    ['another algorithm', { algorithm: 'ec-p384' } as never, 'want ec-p384, got ec-p256'],
    ['name constraints it does not have', { nameConstraints: { permitted: { dns: ['a.test'] } } } as never, 'want the configured name constraints'],
  ])('refuses %s', async (_, change, message) => {
    const authority = { root, issuing: { ...issuing, ...change }, initialize };
    await expect(ca.open({ authority })).rejects.toMatchObject({ ...unusable, message: expect.stringContaining(message) });
  }); // prettier-ignore

  test('refuses a root that somebody put into the database', async () => {
    const other = await TestCa.create();
    await other.open();
    const read = 'SELECT certificate FROM ca_certificate WHERE profile = ?';
    const [{ certificate }]: { certificate: string }[] = await other.dataSource.query(read, ['root-ca']);
    await other.remove();
    await ca.dataSource.query("UPDATE ca_certificate SET certificate = ? WHERE profile = 'root-ca'", [certificate]);
    await expect(ca.open({ authority: { root, issuing, initialize } })).rejects.toMatchObject(unusable);
  });

  test('refuses what is no certificate', async () => {
    await ca.dataSource.query("UPDATE ca_certificate SET certificate = 'MAA=' WHERE profile = 'issuing-ca'");
    await expect(ca.open({ authority: { root, issuing, initialize } })).rejects.toMatchObject(unusable);
  });
});

test('a key that is there twice is told of with what tells them apart, and what to do', async () => {
  const ca = await TestCa.create();
  const { issuer } = await ca.open();
  await ca.token.generateKeyPair({ label: 'issuing', algorithm: 'ec-p256' });
  await expect(ca.open()).rejects.toMatchObject({
    ...unusable,
    message: expect.stringMatching(
      `pkcs11:.* \\(key identifier ${issuer.id}\\).* and .*nest-hsm key destroy URI`,
    ) as string,
  });
  await ca.remove();
});
