import { HsmError } from '@nest-hsm/hsm';
import { buildCsr } from '../../../../test/support/csr.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import { certificateKeyId } from '../authority/ca-key.js';
import type { CertificateAuthority } from '../certificate-authority.js';
import type { CaConfig } from '../config.js';
import { encodeDistinguishedName } from '../name/distinguished-name.js';
import type { CertificateRecord } from '../store/certificate-store.js';
import { basicConstraints, keyUsage, subjectKeyIdentifier } from './extensions.js';
import { decisionOf } from './issuance.js';
import { keyIdentifier } from './key-identifier.js';
import { digestOf } from './signing.js';
import { encodeTbsCertificate } from './tbs-certificate.js';

const minute = 60_000;

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

  async function leaveUnfinished(besides?: string): Promise<CertificateRecord> {
    ca.token.fault = () => {
      throw new Error('token gone');
    };
    await expect(authority.issue(buildCsr(), 'tls-server')).rejects.toThrow('token gone');
    ca.token.fault = undefined;
    const rows = await ca.certificates.listSigning(authority.issuer.id);
    return rows.filter(({ serial }) => serial !== besides)[0];
  }

  /** What the CA reports, and its scheduled job. */
  let failures: unknown[];
  let runRecovery: () => Promise<void>;
  async function openWithJob(overrides: Partial<CaConfig> = {}): Promise<CertificateAuthority> {
    failures = [];
    return ca.open(overrides, { jobFailed: (job, error) => void failures.push([job, error]) }, ({ recovery }) => {
      runRecovery = async () => recovery?.();
      return { start: () => undefined, stop: async () => undefined };
    });
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

  /** Even what has this CA's seal is decided again. */
  const sealAgain = async (): Promise<void> => {
    const [row] = await ca.certificates.listSigning(authority.issuer.id);
    await ca.dataSource.query('UPDATE ca_certificate SET seal = ? WHERE serial = ?', [authority.seals.seal('certificate', decisionOf(row)), row.serial]); // prettier-ignore
  };

  test.each<[string, () => Promise<unknown>, RegExp]>([
    ['other octets under the old digest', () => change('tbs', caRights().toString('base64')), /want what profile tls-server says of commonName/],
    ['an end that is later, under the old digest', () => change('tbs', later().toString('base64')), /the committed SHA-256/],
    ['an end that is later', () => putTbs(later()), /the validity is at most/],
    ['CA rights', () => putTbs(caRights()), /want what profile tls-server says of commonName/],
    ['CA rights under the profile of a CA', async () => (await putTbs(caRights()), change('profile', 'issuing-ca')), /want one of tls-server/],
    ['a name that is not allowed', () => putTbs(Buffer.from(committed().toString('latin1').replaceAll('example.test', 'example.evil'), 'latin1')), /want names that are allowed, got www\.example\.evil/],
    ['the serial of another', () => change('serial', '41'.repeat(16)), /the serial number is the reserved one/],
    ['what is no certificate', () => putTbs(Buffer.from('3000', 'hex')), /want every field|properties of undefined/],
  ])('%s: nothing is signed, and that is reported once and revoked', async (_, spoil, reason) => {
    await spoil();
    await sealAgain();
    const signatures = ca.token.signatures;
    await openWithJob();
    expect([ca.token.signatures, failures]).toEqual([signatures, []]);
    ca.now = new Date(ca.now.getTime() + minute);
    await runRecovery();
    await runRecovery();
    expect(failures).toEqual([
      ['recovery', expect.objectContaining({ code: 'ERR_CA_RECOVERY_REFUSED', message: expect.stringMatching(reason) as string })],
    ]);
    const [row] = await ca.dataSource.query<{ serial: string }[]>(`SELECT serial FROM ca_certificate WHERE state = 'signing'`);
    expect(await ca.stores.revocations.find(authority.issuer.id, row.serial)).toMatchObject({ state: 'revoked', requester: 'recovery' });
  }); // prettier-ignore

  test.each<[string, () => Promise<unknown>]>([
    ['that somebody put there', () => change('seal', '00'.repeat(32))],
    ['of another requester', () => change('requester', 'eve')],
    ['of another profile', () => change('profile', 'tls-client')],
    ['with a seal that is none', () => change('seal', 'none')],
  ])('a row %s is not this CA\'s: nothing is signed, and the serial is revoked', async (_, spoil) => {
    await spoil();
    const signatures = ca.token.signatures;
    await openWithJob();
    ca.now = new Date(ca.now.getTime() + minute);
    await runRecovery();
    expect([ca.token.signatures, failures]).toEqual([signatures, [['recovery', expect.objectContaining({ message: expect.stringMatching(/want the seal of this CA on it/) as string })]]]);
    expect(await ca.stores.revocations.find(authority.issuer.id, unfinished.serial)).toMatchObject({ state: 'revoked' });
  }); // prettier-ignore

  test.each([
    ['without an idempotency key is revoked, and no failure', {}, ['revoked', 0]],
    ['with one is completed', { idempotencyKey: 'once' }, ['issued', 1]],
  ] as const)('one that the token refused to sign %s', async (_, options, outcome) => {
    await ca.dataSource.query("DELETE FROM ca_certificate WHERE state = 'signing'");
    ca.token.fault = () => {
      throw new HsmError('ERR_HSM_OVERLOADED', 'full');
    };
    await expect(authority.issue(buildCsr(), 'tls-client', options)).rejects.toMatchObject({ code: 'ERR_HSM_OVERLOADED' });
    ca.token.fault = undefined;
    const [{ serial }] = await ca.certificates.listSigning(authority.issuer.id);
    const signatures = ca.token.signatures;
    ca.now = new Date(ca.now.getTime() + minute);
    await openWithJob();
    await runRecovery();
    const state = (await ca.stores.revocations.find(authority.issuer.id, serial))?.state ?? (await ca.certificates.find(serial))?.state;
    expect([state, ca.token.signatures - signatures]).toEqual(outcome);
    expect(failures).toEqual([]);
  }); // prettier-ignore

  test('however many there are, all are recovered', async () => {
    ca.token.fault = () => {
      throw new Error('token gone');
    };
    await Promise.allSettled(Array.from({ length: 260 }, () => authority.issue(buildCsr(), 'tls-server')));
    ca.token.fault = undefined;
    await ca.open();
    expect(new Set(await ca.states())).toEqual(new Set(['issued']));
    expect(await ca.states()).toHaveLength(263);
  });

  test('a row that is refused does not keep the next one waiting', async () => {
    const refused = unfinished;
    await putTbs(caRights());
    unfinished = await leaveUnfinished(refused.serial);
    const again = await ca.open();
    expect((await again.find(unfinished.serial)).der.includes(committed())).toBe(true);
    await expect(again.find(refused.serial)).rejects.toMatchObject({ code: 'ERR_CA_CERTIFICATE_NOT_FOUND' });
  });

  test('a name that was taken off the allow-list waits until it is allowed again, or is revoked within minutes', async () => {
    await openWithJob({ allowedNames: { dns: ['*.example.org'] } });
    await runRecovery();
    const again = await openWithJob();
    expect((await again.find(unfinished.serial)).serial).toBe(unfinished.serial);
    expect(failures).toEqual([]);
  });

  const once = { idempotencyKey: 'once' };
  async function issueWithoutToken(csr: Buffer): Promise<void> {
    ca.token.fault = () => {
      throw new Error('token gone');
    };
    await expect(authority.issue(csr, 'tls-client', once)).rejects.toThrow('token gone');
    ca.token.fault = undefined;
  }

  test('one that was refused frees its idempotency key, and is not there but for its revocation', async () => {
    const csr = buildCsr();
    await issueWithoutToken(csr);
    await expect(authority.issue(csr, 'tls-client', once)).rejects.toMatchObject({ code: 'ERR_CA_IDEMPOTENCY_IN_PROGRESS' }); // prettier-ignore
    const keyed = (await ca.certificates.listSigning(authority.issuer.id)).find(({ profile }) => profile === 'tls-client'); // prettier-ignore
    const serial = keyed?.serial ?? '';
    await expect(authority.status.find(serial)).rejects.toMatchObject({ code: 'ERR_CA_CERTIFICATE_NOT_FOUND' });
    ca.now = new Date(ca.now.getTime() + minute);
    await openWithJob({ allowedNames: { dns: ['*.example.org'] } });
    await runRecovery();
    expect(await authority.status.find(serial)).toMatchObject({ state: 'revoked' });
    await expect(authority.find(serial)).rejects.toMatchObject({ code: 'ERR_CA_CERTIFICATE_NOT_FOUND' });
    expect((await authority.issue(csr, 'tls-client', once)).serial).not.toBe(serial);
  });

  test('one whose revocation failed keeps its idempotency key, one that is revoked frees it', async () => {
    const csr = buildCsr();
    await issueWithoutToken(csr);
    const rows = await ca.certificates.listSigning(authority.issuer.id);
    const { serial } = rows.find(({ profile }) => profile === 'tls-client') ?? { serial: '' };
    await ca.dataSource.query('ALTER TABLE ca_revocation RENAME TO away');
    await expect(authority.status.revoke(serial)).rejects.toMatchObject({ code: 'ERR_CA_STORE_UNAVAILABLE' });
    await ca.dataSource.query('ALTER TABLE away RENAME TO ca_revocation');
    await expect(authority.issue(csr, 'tls-client', once)).rejects.toMatchObject({
      code: 'ERR_CA_IDEMPOTENCY_IN_PROGRESS',
    });
    await authority.status.revoke(serial);
    expect((await authority.issue(csr, 'tls-client', once)).serial).not.toBe(serial);
  });

  test('one that was revoked by hand is not signed', async () => {
    await authority.status.revoke(unfinished.serial, { reason: 'keyCompromise' });
    const signatures = ca.token.signatures;
    const again = await openWithJob();
    expect(ca.token.signatures).toBe(signatures);
    await expect(again.find(unfinished.serial)).rejects.toMatchObject({ code: 'ERR_CA_CERTIFICATE_NOT_FOUND' });
    await again.status.refreshCrls();
    expect(again.crl.der.includes(Buffer.from(unfinished.serial, 'hex'))).toBe(true);
  });

  test('one of a CA above the issuers is reported once, and may be revoked', async () => {
    const root = certificateKeyId(authority.root);
    await change('issuer_id', root);
    ca.now = new Date(ca.now.getTime() + minute);
    const again = await openWithJob();
    await runRecovery();
    await runRecovery();
    expect(failures).toEqual([['recovery', expect.objectContaining({ code: 'ERR_CA_RECOVERY_REFUSED' })]]);
    await again.status.revoke(unfinished.serial, { includesOwn: true });
    expect(await ca.certificates.listSigning(root)).toEqual([]);
  });

  test('a token that cannot sign keeps nobody from opening', async () => {
    ca.token.fault = () => {
      throw new HsmError('ERR_HSM_UNAVAILABLE', 'gone');
    };
    await openWithJob();
    expect(failures).toEqual([['recovery', expect.objectContaining({ code: 'ERR_HSM_UNAVAILABLE' })]]);
    ca.token.fault = undefined;
    ca.now = new Date(ca.now.getTime() + minute);
    await runRecovery();
    expect((await ca.certificates.find(unfinished.serial))?.state).toBe('issued');
  });
});
