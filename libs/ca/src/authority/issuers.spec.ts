import { X509Certificate } from 'node:crypto';
import { buildCsr, commonName } from '../../../../test/support/csr.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import type { CaConfig } from '../config.js';
import { CaAdministration } from './ca-administration.js';

const day = 86_400_000;
const root = { label: 'root', subject: { commonName: 'Test Root' }, algorithm: 'ec-p384' } as const;
const issuing = { label: 'issuing', subject: { commonName: 'Test Issuing' }, algorithm: 'ec-p256' } as const;
const clients = { label: 'clients', subject: { commonName: 'Test Clients' }, algorithm: 'ec-p256', profiles: ['tls-client'] } as const; // prettier-ignore

const fingerprint = (der: Buffer): string => new X509Certificate(der).fingerprint256;

describe('several issuers', () => {
  let ca: TestCa;
  beforeEach(async () => (ca = await TestCa.create()));
  afterEach(() => ca.remove());

  const authority: CaConfig['authority'] = {
    root,
    intermediates: { policy: { label: 'policy', subject: { commonName: 'Test Policy' }, algorithm: 'ec-p384' } },
    issuing,
    issuers: { clients: { ...clients, profiles: ['tls-client'], parent: 'policy' } },
    initialize: true,
  };
  const administration = (overrides: Partial<CaConfig> = {}): CaAdministration => {
    const config = { authority, allowedNames: { dns: ['*.example.test'] }, ...overrides };
    return new CaAdministration({ token: ca.token, ...ca.stores, config, now: () => ca.now });
  };

  test('sign each their own profiles, and each certificate comes with the chain of its own issuer', async () => {
    const open = await ca.open({ authority });
    const server = await open.issue(buildCsr(), 'tls-server');
    const client = await open.issue(buildCsr(), 'tls-client');
    const subjects = (issuerId: string) => open.chainOf(issuerId).map(({ der }) => new X509Certificate(der).subject);
    expect(subjects(server.issuerId)).toEqual(['CN=Test Issuing', 'CN=Test Root']);
    expect(subjects(client.issuerId)).toEqual(['CN=Test Clients', 'CN=Test Policy', 'CN=Test Root']);
    for (const { der, issuerId } of [server, client]) {
      expect(new X509Certificate(der).verify(open.chainOf(issuerId)[0].publicKey)).toBe(true);
      expect((await open.find(new X509Certificate(der).serialNumber)).issuerId).toBe(issuerId);
    }
    expect(open.crlOf(client.issuerId).der).not.toEqual(open.crlOf(server.issuerId).der);
    expect(() => open.chainOf('00'.repeat(20))).toThrow(/want the id of one in service/);
  });

  test.each<[string, Partial<CaConfig['authority']>, RegExp]>([
    ['an unknown parent', { issuing: { ...issuing, parent: 'nobody' } }, /want root or an intermediate/],
    ['a circle', { intermediates: { a: { ...issuing, label: 'a', parent: 'b' }, b: { ...issuing, label: 'b', parent: 'a' } } }, /want a parent that is not below it/],
    ['a profile that nobody has', { issuers: { clients: { ...clients, profiles: ['nothing'] } } }, /clients: want profiles that there are, got nothing/],
    ['one label twice', { issuers: { clients: { ...clients, profiles: ['tls-client'], label: 'issuing' } } }, /different labels/],
    ['one subject twice', { issuers: { clients: { ...clients, profiles: ['tls-client'], subject: { commonName: 'test  ROOT' } } } }, /different subjects/],
    ["another one's generation", { issuers: { clients: { ...clients, profiles: ['tls-client'], label: 'issuing-2' } } }, /different labels/],
    ['one profile at two issuers', { issuers: { a: { ...clients, profiles: ['tls-client'], label: 'a' }, b: { ...clients, profiles: ['tls-client'], label: 'b' } } }, /each profile at one issuer/],
  ])('are refused with %s', async (_, change, message) => {
    await expect(ca.open({ authority: { root, issuing, initialize: true, ...change } })).rejects.toMatchObject({
      code: 'ERR_CA_CONFIG_INVALID',
      message: expect.stringMatching(message),
    });
  }); // prettier-ignore

  test.each<[string, string, string, boolean]>([
    ['a CA', 'intermediate', 'Test Issuing', false],
    ['a CA', 'intermediate', 'Test Root', false],
    ['a CA', 'intermediate', 'TEST  policy', false],
    ['a CA', 'intermediate', 'Test Clients', false],
    ['a CA', 'intermediate', 'Test Root 2', true],
    ['somebody', 'code-signing', 'test issuing', false],
    ['somebody', 'code-signing', 'Test Coder', true],
  ])('%s that asks under %s for the name %s gets it: %s', async (_, profile, name, isFree) => {
    const profiles = { intermediate: { subject: { commonName: 'required' as const } }, 'tls-client': {}, 'code-signing': {} }; // prettier-ignore
    const nameRules = ['intermediate', 'code-signing'].map((each) => ({ profiles: [each], subject: { commonName: ['*'] } })); // prettier-ignore
    const wide = { ...authority, issuing: { ...issuing, pathLength: 1 } };
    const open = await ca.open({ authority: wide, profiles, nameRules });
    const states = await ca.states();
    const asked = open.issue(buildCsr({ subject: commonName(name) }), profile);
    if (isFree) expect((await asked).serial).toHaveLength(32);
    else await expect(asked).rejects.toMatchObject({ code: 'ERR_CA_NAME_NOT_ALLOWED', message: expect.stringMatching(/the name of one of this CA's CAs/) as string }); // prettier-ignore
    expect(await ca.states()).toHaveLength(states.length + (isFree ? 1 : 0));
  });

  test('issue to CAs as far as their path length allows', async () => {
    const profiles = { intermediate: { subject: { commonName: 'required' as const } }, 'tls-server': {} };
    const nameRules = [{ profiles: ['intermediate'], subject: { commonName: ['*'] } }];
    const csr = buildCsr();
    const none = await ca.open({ authority: { root, issuing, initialize: true }, profiles, nameRules });
    await expect(none.issue(csr, 'intermediate')).rejects.toMatchObject({ code: 'ERR_CA_CONSTRAINT_VIOLATED' });
    const other = await TestCa.create();
    const wide = { root, intermediates: { policy: { label: 'policy', subject: { commonName: 'P' } } }, issuing: { ...issuing, parent: 'policy', pathLength: 1 }, initialize: true }; // prettier-ignore
    const open = await other.open({ authority: wide, profiles, nameRules });
    expect(open.chain.map(({ pathLength }) => pathLength)).toEqual([1, 2, undefined]);
    expect(new X509Certificate((await open.issue(csr, 'intermediate')).der).ca).toBe(true);
    await other.remove();
  });

  describe('rollover', () => {
    test('leaves no gap: the old one signs until then, and keeps its CRL until its last certificate has expired', async () => {
      const before = await ca.open({ authority });
      const old = await before.issue(buildCsr(), 'tls-server');
      const rowsBefore: unknown = await ca.dataSource.query('SELECT * FROM ca_certificate WHERE serial = ?', [
        old.serial,
      ]);
      const activeFrom = new Date(ca.now.getTime() + day);
      const record = await administration().rollOver('issuing', activeFrom);
      expect(record).toMatchObject({ name: 'issuing', generation: 2, activeFrom });
      await expect(administration().rollOver('issuing', activeFrom)).rejects.toMatchObject({
        code: 'ERR_CA_ROLLOVER_REFUSED',
      });
      expect(await ca.dataSource.query('SELECT * FROM ca_certificate WHERE serial = ?', [old.serial])).toEqual(
        rowsBefore,
      );

      const open = await ca.open({ authority });
      expect(open.issuer.id).toBe(old.issuerId);
      // The next one's CRL is there before it signs anything.
      expect(open.crlOf(record.issuerId).nextUpdate > activeFrom).toBe(true);
      ca.now = activeFrom;
      const fresh = await open.issue(buildCsr(), 'tls-server');
      expect(fresh.issuerId).toBe(record.issuerId);
      expect(new X509Certificate(fresh.der).issuer).toBe('CN=Test Issuing G2');
      expect((await open.find(old.serial)).issuerId).toBe(old.issuerId);
      expect(open.crlOf(old.issuerId).number).toBeGreaterThan(0);

      ca.now = new Date(old.notAfter.getTime() + 1000);
      const late = await ca.open({ authority });
      expect(late.generations.map(({ name, generation }) => [name, generation])).toEqual([['issuing', 2], ['clients', 1]]); // prettier-ignore
    });

    test('a generation whose key or time somebody changed in the database is not signed with', async () => {
      await ca.open({ authority });
      await administration().rollOver('issuing', new Date(ca.now.getTime() + day));
      ca.now = new Date(ca.now.getTime() + 2 * day);
      const [id] = (await ca.open({ authority })).generations.map(({ issuer }) => issuer.id).slice(-1);
      await ca.dataSource.query('UPDATE ca_generation SET issuer_id = ?', [id]);
      await expect(ca.open({ authority })).rejects.toMatchObject({ code: 'ERR_CA_ISSUER_UNUSABLE' });
    });

    test('a root or an intermediate has no generations', async () => {
      await ca.open({ authority });
      await expect(administration().rollOver('policy', ca.now)).rejects.toMatchObject({
        code: 'ERR_CA_ROLLOVER_REFUSED',
      });
      await expect(administration().rollOver('nobody', ca.now)).rejects.toMatchObject({
        code: 'ERR_CA_CONFIG_INVALID',
      });
    });
  });

  describe("the root's pin", () => {
    test('is held against the database', async () => {
      const { der } = (await ca.open({ authority })).root;
      const pinned = (sha256: string) => ca.open({ authority: { ...authority, root: { ...root, sha256 } } });
      await pinned(fingerprint(der));
      await pinned(fingerprint(der).replaceAll(':', '').toLowerCase());
      await expect(pinned('00'.repeat(32))).rejects.toMatchObject({ code: 'ERR_CA_ISSUER_UNUSABLE' });
    });

    test('without it, a root of the same name whose key is not the one on the token is refused', async () => {
      await ca.open({ authority: { root, issuing, initialize: true } });
      const other = await TestCa.create();
      await other.open({ authority: { root, issuing, initialize: true } });
      // Somebody with the database and a root of the same name brings a whole chain for our issuing key.
      const crossed = new CaAdministration({ token: other.token, ...other.stores, config: { authority: { root, issuing } }, now: () => ca.now }); // prettier-ignore
      const ours = (await ca.open({ authority: { root, issuing } })).issuer.certificate.der;
      const { der } = await crossed.crossSign('root', ours, 100);
      const theirRoot = (await other.open({ authority: { root, issuing } })).root.der;
      await administration({ authority: { root, issuing } }).import('issuing', [der, theirRoot], {
        rootSha256: fingerprint(theirRoot),
      });
      await other.remove();
      const open = await ca.open({ authority: { root, issuing } });
      expect(open.root.der).not.toEqual(theirRoot);
      expect(open.alternativeChainsOf(open.issuer.id).map((chain) => chain[1].der)).toEqual([theirRoot]);
      await ca.dataSource.query("DELETE FROM ca_certificate WHERE profile = 'issuing-ca'");
      await expect(ca.open({ authority: { root, issuing } })).rejects.toMatchObject({ code: 'ERR_CA_ISSUER_UNUSABLE' });
    });
  });
});
