import { TestCa } from '../../../../test/support/test-ca.js';
import type { CertificateAuthority } from '../certificate-authority.js';
import { digestOf } from '../issuance/signing.js';
import { encodeTbsCertList } from './crl.js';

const day = 86_400_000;

describe('the CRL publisher', () => {
  let ca: TestCa;
  let authority: CertificateAuthority;
  beforeEach(async () => {
    ca = await TestCa.create();
    authority = await ca.open();
  });
  afterEach(() => ca.remove());

  test('replaces a CRL of the future, made while the clock was wrong', async () => {
    const { now } = ca;
    ca.now = new Date(now.getTime() + 365 * day);
    const early = (await ca.open()).crl;
    ca.now = now;
    const { number, thisUpdate } = (await ca.open()).crl;
    expect(number).toBe(early.number + 1);
    expect(thisUpdate < now).toBe(true);
  });

  test('that finds its number taken completes what the other one committed', async () => {
    ca.now = new Date(ca.now.getTime() + 4 * day);
    const commit = ca.crls.commit.bind(ca.crls);
    let theirs: Buffer | undefined;
    ca.crls.commit = async (crl) => {
      theirs = crl.tbs;
      await commit(crl);
      return commit(crl);
    };
    const { crl } = await ca.open();
    expect(crl.number).toBe(2);
    expect(crl.der.includes(theirs ?? 'nothing')).toBe(true);
  });

  test.each([
    ['revokes nothing for a century', { nextUpdate: new Date('2126-11-22T12:00:00Z') }],
    ['is not a CRL', undefined],
  ])('does not sign a TBS of the database that %s, but makes the next CRL', async (_, change) => {
    const [thisUpdate, nextUpdate] = [ca.now, new Date(ca.now.getTime() + 7 * day)];
    const content = { authority: authority.issuer, number: 2, thisUpdate, nextUpdate };
    const tbs = change === undefined ? Buffer.from('3000', 'hex') : encodeTbsCertList({ ...content, ...change });
    const tbsSha256 = digestOf(tbs);
    await ca.crls.commit({ issuerId: authority.issuer.id, number: 2, tbs, tbsSha256, thisUpdate, nextUpdate });
    ca.now = new Date(ca.now.getTime() + 4 * day);
    const failures: string[] = [];
    const { crl } = await ca.open({}, { jobFailed: (job, error) => void failures.push(`${job} ${String(error)}`) });
    expect([crl.number, ca.token.signatures]).toEqual([3, 4]);
    expect(failures[0]).toMatch(/^crl .*unfinished CRL 2: want a TBS that would be published today/);
  });
});
