import { TestCa } from '../../../../test/support/test-ca.js';
import type { CertificateAuthority } from '../certificate-authority.js';
import { certificateKeyId } from './ca-key.js';

const hour = 3_600_000;
const publicUrl = 'http://ca.test';

describe('a root whose key has left the token', () => {
  let ca: TestCa;
  let issuerId: string;
  let listKeys: TestCa['token']['listKeys'];
  beforeEach(async () => {
    ca = await TestCa.create();
    listKeys = ca.token.listKeys.bind(ca.token);
    const online = await ca.open({ publicUrl });
    issuerId = certificateKeyId(online.root);
    await online.close();
    ca.token.listKeys = async (selector) => (await listKeys(selector)).filter(({ label }) => label !== 'root');
  });
  afterEach(() => ca.remove());

  const rootCrl = ({ status }: CertificateAuthority) => status.crl({ issuerId, shard: 0, kind: 'full' });
  const conditionAt = ({ status }: CertificateAuthority, now: Date) =>
    status.watch(now).find((crl) => crl.issuerId === issuerId);

  test('has its CRL served and watched, and takes over the next one that is made with the key', async () => {
    const offline = await ca.open({ publicUrl });
    const { number, thisUpdate, nextUpdate } = rootCrl(offline);
    expect([number, +nextUpdate - +thisUpdate]).toEqual([1, 2_160 * hour]);
    expect(conditionAt(offline, ca.now)).toMatchObject({ condition: 'fresh', isKept: true });
    expect(conditionAt(offline, new Date(+thisUpdate + 1_700 * hour))?.condition).toBe('overdue');
    expect(conditionAt(offline, nextUpdate)?.condition).toBe('lapsed');

    ca.token.listKeys = listKeys;
    const ceremony = await ca.open({ publicUrl });
    await ceremony.status.renewCrls();
    expect(rootCrl(ceremony).number).toBe(2);
    await offline.status.refreshCrls();
    expect(rootCrl(offline).der).toEqual(rootCrl(ceremony).der);
  });

  test('whose CRL was never made raises the alarm, since certificates name it', async () => {
    await ca.dataSource.query('DELETE FROM ca_crl WHERE issuer_id = ?', [issuerId]);
    const offline = await ca.open({ publicUrl });
    expect(conditionAt(offline, ca.now)).toMatchObject({ condition: 'lapsed', number: 0, isKept: true });
    expect(() => rootCrl(offline)).toThrow(expect.objectContaining({ code: 'ERR_CA_CRL_NOT_FOUND' }) as Error);
  });

  test('has revocations of its CAs recorded, for the CRL that is made with the key', async () => {
    const offline = await ca.open({ publicUrl });
    const [row] = await ca.certificates.listAuthority(offline.issuer.id);
    await offline.status.revoke(row.serial, { reason: 'superseded', includesOwn: true });
    ca.token.listKeys = listKeys;
    const ceremony = await ca.open({ publicUrl });
    await ceremony.status.refreshCrls();
    expect(rootCrl(ceremony)).toMatchObject({ number: 2, entries: 1 });
  });
});
