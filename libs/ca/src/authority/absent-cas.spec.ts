import { buildCsr } from '../../../../test/support/csr.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import type { CertificateAuthority } from '../certificate-authority.js';
import { CaAdministration } from './ca-administration.js';
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

describe('an issuer that is not in service any more', () => {
  let ca: TestCa;
  let issuerId: string;
  const root = { label: 'root', subject: { commonName: 'Test Root' }, algorithm: 'ec-p384' } as const;
  const issuing = { label: 'issuing', subject: { commonName: 'Test Issuing' }, algorithm: 'ec-p256' } as const;
  const clients = { label: 'clients', subject: { commonName: 'Test Clients' }, algorithm: 'ec-p256' } as const;
  const both = { root, issuing, issuers: { clients: { ...clients, profiles: ['tls-client'] } }, initialize: true };
  let notAfter: Date;
  beforeEach(async () => {
    ca = await TestCa.create();
    const open = await ca.open({ authority: both });
    ({ issuerId, notAfter } = await open.issue(buildCsr(), 'tls-client'));
    await open.close();
  });
  afterEach(() => ca.remove());

  test('keeps the CA from starting without it, until its last certificate has expired or it is given up', async () => {
    const without = { root, issuing, initialize: true };
    await expect(ca.open({ authority: without })).rejects.toMatchObject({
      code: 'ERR_CA_ISSUER_UNNAMED',
      message: expect.stringContaining(`${issuerId}: want it in authority.issuers until`),
    });
    const given = await ca.open({ authority: { ...without, abandoned: [issuerId] } });
    expect(given.status.watch().map((crl) => crl.issuerId)).not.toContain(issuerId);
    ca.now = new Date(notAfter.getTime() + 1_000);
    await ca.open({ authority: without });
  });

  test('raises the alarm when it is named and cannot be loaded, has its CRL served and its revocations recorded', async () => {
    const old = await ca.open({ authority: both });
    const { serial } = await old.issue(buildCsr(), 'tls-server');
    const config = { authority: both, allowedNames: { dns: ['*.example.test'] } };
    const administration = new CaAdministration({ token: ca.token, ...ca.stores, config, now: () => ca.now });
    await administration.rollOver('issuing', new Date(ca.now.getTime() + hour));
    ca.now = new Date(ca.now.getTime() + 2 * hour);
    const listKeys = ca.token.listKeys.bind(ca.token);
    ca.token.listKeys = async (selector) => (await listKeys(selector)).filter(({ label }) => label !== 'issuing');
    const open = await ca.open({ authority: both });
    expect(open.generations.map(({ name, generation }) => [name, generation])).toEqual([['issuing', 2], ['clients', 1]]); // prettier-ignore
    const watch = open.status.watch().filter((crl) => crl.issuerId === old.issuer.id);
    expect(watch).toMatchObject([{ condition: 'overdue', isKept: true, number: 1 }]);
    expect(open.status.crl({ issuerId: old.issuer.id, shard: 0, kind: 'full' }).der).toEqual(old.crl.der);
    await open.status.revoke(serial);
    ca.token.listKeys = listKeys;
    const again = await ca.open({ authority: both });
    await again.status.refreshCrls();
    expect(again.crlOf(old.issuer.id)).toMatchObject({ number: 2, entries: 1 });
  });
});
