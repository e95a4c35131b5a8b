import { buildCsr } from '../../../../test/support/csr.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import type { CertificateAuthority } from '../certificate-authority.js';
import { encodeDistinguishedName } from '../name/distinguished-name.js';
import type { CertificateRecord } from '../store/certificate-store.js';
import { basicConstraints, keyUsage, subjectKeyIdentifier } from './extensions.js';
import { keyIdentifier } from './key-identifier.js';
import { digestOf } from './signing.js';
import { encodeTbsCertificate } from './tbs-certificate.js';

/** What recovery would sign is what somebody with the database, and without the token, would like to choose. */
describe('recovery of a row whose TBS was changed in the database', () => {
  let ca: TestCa;
  let authority: CertificateAuthority;
  let unfinished: CertificateRecord;
  beforeEach(async () => {
    ca = await TestCa.create();
    authority = await ca.open();
    unfinished = await leaveUnfinished();
  });
  afterEach(() => ca.remove());

  async function leaveUnfinished(): Promise<CertificateRecord> {
    ca.token.fault = () => {
      throw new Error('token gone');
    };
    await expect(authority.issue(buildCsr(), 'tls-server')).rejects.toThrow('token gone');
    ca.token.fault = undefined;
    const rows = await ca.certificates.listSigning(authority.issuer.id);
    return rows[rows.length - 1];
  }

  const change = (column: string, value: string): Promise<unknown> =>
    ca.dataSource.query(`UPDATE ca_certificate SET ${column} = ? WHERE serial = ?`, [value, unfinished.serial]);
  const putTbs = async (tbs: Buffer): Promise<void> => {
    await change('tbs', tbs.toString('base64'));
    await change('tbs_sha256', digestOf(tbs));
  };
  const committed = (): Buffer => unfinished.tbs ?? Buffer.alloc(0);
  const caRights = (): Buffer => {
    const { spki = Buffer.alloc(0) } = authority.issuer.key;
    return encodeTbsCertificate({
      serial: Buffer.from(unfinished.serial, 'hex'),
      signatureAlgorithm: authority.issuer.signatureAlgorithm.identifier,
      issuer: authority.issuer.name,
      validity: { notBefore: unfinished.notBefore, notAfter: unfinished.notAfter },
      subject: encodeDistinguishedName({ commonName: 'Evil CA' }),
      subjectPublicKeyInfo: spki,
      extensions: [keyUsage(['keyCertSign']), basicConstraints({}), subjectKeyIdentifier(keyIdentifier(spki))],
    });
  };

  /** The same, but for three more years. */
  const later = (): Buffer =>
    Buffer.from(committed().toString('latin1').replace('270220115859Z', '300220115859Z'), 'latin1');

  test.each<[string, () => Promise<unknown>, RegExp]>([
    ['other octets under the old digest', () => change('tbs', caRights().toString('base64')), /want what profile tls-server says of commonName/],
    ['an end that is later, under the old digest', () => change('tbs', later().toString('base64')), /the committed SHA-256/],
    ['an end that is later', () => putTbs(later()), /the validity is at most/],
    ['CA rights', () => putTbs(caRights()), /want what profile tls-server says of commonName/],
    ['CA rights under the profile of a CA', async () => (await putTbs(caRights()), change('profile', 'issuing-ca')), /want one of tls-server/],
    ['a name that is not allowed', () => putTbs(Buffer.from(committed().toString('latin1').replaceAll('example.test', 'example.evil'), 'latin1')), /want names that are allowed, got www\.example\.evil/],
    ['the serial of another', () => change('serial', '41'.repeat(16)), /the serial number is the reserved one/],
    ['what is no certificate', () => putTbs(Buffer.from('3000', 'hex')), /want every field|properties of undefined/],
  ])('%s: nothing is signed, and that is reported', async (_, spoil, reason) => {
    await spoil();
    const signatures = ca.token.signatures;
    const failures: unknown[] = [];
    await ca.open({}, { jobFailed: (job, error) => void failures.push([job, error]) });
    expect(ca.token.signatures).toBe(signatures);
    expect(failures).toEqual([
      ['recovery', expect.objectContaining({ code: 'ERR_CA_RECOVERY_REFUSED', message: expect.stringMatching(reason) as string })],
    ]);
    expect(await ca.states()).toContain('signing');
  }); // prettier-ignore

  test('a row that is refused does not keep the next one waiting', async () => {
    const refused = unfinished;
    await putTbs(caRights());
    unfinished = await leaveUnfinished();
    const again = await ca.open();
    expect((await again.find(unfinished.serial)).der.includes(committed())).toBe(true);
    await expect(again.find(refused.serial)).rejects.toMatchObject({ code: 'ERR_CA_CERTIFICATE_NOT_FOUND' });
  });

  test('a name that was taken off the allow-list waits until it is allowed again', async () => {
    const elsewhere = await ca.open({ allowedNames: { dns: ['*.example.org'] } });
    await expect(elsewhere.find(unfinished.serial)).rejects.toMatchObject({ code: 'ERR_CA_CERTIFICATE_NOT_FOUND' });
    const again = await ca.open();
    expect((await again.find(unfinished.serial)).serial).toBe(unfinished.serial);
  });
});
