import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { buildCsr } from '../../../../test/support/csr.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import type { CertificateAuthority } from '../certificate-authority.js';
import { digestOf } from '../issuance/signing.js';
import { CompromisedKeys1764500000000 } from '../store/typeorm/migrations/1764500000000-compromised-keys.js';

const key = { sameKey: true, reason: 'keyCompromise' } as const;

describe('a key that was reported as compromised', () => {
  const refused = { code: 'ERR_CA_KEY_COMPROMISED' };
  let ca: TestCa;
  let authority: CertificateAuthority;
  let csr: Buffer;
  beforeEach(async () => {
    ca = await TestCa.create();
    authority = await ca.open();
    csr = buildCsr();
  });
  afterEach(() => ca.remove());

  test('is certified no more: in no request, no ticket, no renewal; another key is', async () => {
    const [first, second] = [await authority.issue(csr, 'tls-server'), await authority.issue(csr, 'tls-client')];
    await authority.status.revoke(first.serial, { reason: 'keyCompromise' });
    const states = await ca.states();
    await expect(authority.issue(csr, 'tls-server', { requester: 'somebody else' })).rejects.toMatchObject(refused);
    await expect(authority.prepare(csr, 'tls-server')).rejects.toMatchObject(refused);
    await expect(authority.renew(second.serial)).rejects.toMatchObject(refused);
    await expect(authority.renew(second.serial, { csr })).rejects.toMatchObject(refused);
    expect(await ca.states()).toEqual(states);
    const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    await authority.renew(second.serial, { csr: buildCsr({ key }) });
  });

  test('is one as soon as that becomes the reason, and not for another reason', async () => {
    const { serial } = await authority.issue(csr, 'tls-server');
    await authority.status.revoke(serial, { reason: 'superseded' });
    await authority.issue(csr, 'tls-server');
    await authority.status.revoke(serial, { reason: 'keyCompromise' });
    await expect(authority.issue(csr, 'tls-server')).rejects.toMatchObject(refused);
  });

  test('is not signed by recovery either', async () => {
    const { serial } = await authority.issue(csr, 'tls-server');
    ca.token.fault = () => {
      throw new Error('token gone');
    };
    await expect(authority.issue(csr, 'tls-client')).rejects.toThrow('token gone');
    await authority.status.revoke(serial, { reason: 'keyCompromise' });
    ca.token.fault = undefined;
    const [unfinished] = await ca.certificates.listSigning(authority.issuer.id);
    await ca.open();
    expect((await ca.certificates.find(unfinished.serial))?.state).toBe('signing');
  });

  test('is one too when that was said before keys were recorded', async () => {
    const { serial } = await authority.issue(csr, 'tls-server');
    await authority.status.revoke(serial, { reason: 'keyCompromise' });
    const runner = ca.dataSource.createQueryRunner();
    const migration = new CompromisedKeys1764500000000();
    await migration.down(runner);
    await migration.up(runner);
    await expect(authority.issue(csr, 'tls-server')).rejects.toMatchObject(refused);
  });

  test('takes its other certificates with it when that is wanted, whichever issuer they are of, and says how many there are when not', async () => {
    authority = await ca.open({
      authority: {
        root: { label: 'root', subject: { commonName: 'Test Root' }, algorithm: 'ec-p384' },
        issuing: { label: 'issuing', subject: { commonName: 'Test Issuing' }, algorithm: 'ec-p256' },
        issuers: { clients: { label: 'clients', subject: { commonName: 'Clients' }, algorithm: 'ec-p256', profiles: ['tls-client'] } }, // prettier-ignore
        initialize: true,
      },
    });
    const issued = [];
    for (const profile of ['tls-server', 'tls-client', 'tls-server', 'tls-server'])
      issued.push(await authority.issue(csr, profile, { requester: `of ${profile}` }));
    const other = await authority.issue(buildCsr({ key: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }) }), 'tls-server'); // prettier-ignore
    const [first, second, third, fourth] = issued.map(({ serial }) => serial);
    await authority.status.revoke(fourth, { reason: 'superseded' });
    await authority.status.revoke(third, { reason: 'certificateHold' });
    const ticket = await authority.prepare(csr, 'tls-server');

    const alone = await authority.status.revoke(first, { reason: 'keyCompromise' });
    expect(alone.sameKey).toEqual({ revoked: [], remaining: 2 });
    await expect(authority.redeem(ticket)).rejects.toMatchObject({ code: 'ERR_CA_TICKET_REFUSED' });
    await expect(authority.status.release(third)).rejects.toMatchObject(refused);
    const all = await authority.status.revoke(first, key);
    expect(all).toMatchObject({
      revokedAt: alone.revokedAt,
      sequence: alone.sequence,
      sameKey: { revoked: [second, third].sort(), remaining: 0 },
    });
    for (const serial of [second, third])
      expect(await authority.status.find(serial)).toMatchObject({ state: 'revoked', reason: 'keyCompromise' });
    expect(await authority.status.find(fourth)).toMatchObject({ reason: 'superseded' });
    expect(await authority.status.find(other.serial)).toBeUndefined();
    await expect(authority.issue(csr, 'tls-client')).rejects.toMatchObject(refused);
    expect((await authority.status.revoke(first, key)).sameKey).toEqual({ revoked: [], remaining: 0 });
  });

  test('is revoked by nobody who may not revoke all it has, and they are told how many, not which', async () => {
    const [own, foreign] = [await authority.issue(csr, 'tls-server'), await authority.issue(csr, 'tls-client')];
    const profiles = new Set(['tls-server']);
    const refusal = authority.status.revoke(own.serial, { ...key, profiles, requester: 'eve' });
    await expect(refusal).rejects.toMatchObject({ code: 'ERR_CA_REVOCATION_FORBIDDEN', message: expect.stringMatching(/^(?!.*[0-9a-f]{32}).*eve may revoke, got 1 other;/) as string }); // prettier-ignore
    for (const { serial } of [own, foreign]) expect(await authority.status.find(serial)).toBeUndefined();
    // Whoever may not revoke the one learns nothing of the others.
    await expect(authority.status.revoke(foreign.serial, { ...key, profiles })).rejects.toMatchObject({ code: 'ERR_CA_CERTIFICATE_NOT_FOUND' }); // prettier-ignore
    const alone = await authority.status.revoke(own.serial, { reason: 'keyCompromise', profiles });
    expect(alone.sameKey).toEqual({ revoked: [], remaining: 1 });
  });

  test("of a CA takes the CA's certificates with it, for whoever may revoke those", async () => {
    const { serialNumber } = new X509Certificate(authority.chain[0].der);
    const asked = { sameKey: true, reason: 'cACompromise', includesOwn: true } as const;
    await expect(authority.status.revoke(serialNumber, key)).rejects.toMatchObject({ code: 'ERR_CA_REVOCATION_CONFLICT' }); // prettier-ignore
    expect(await authority.status.revoke(serialNumber, asked)).toMatchObject({
      sameKey: { revoked: [], remaining: 0 },
    });
    expect(await ca.certificates.isCompromised(digestOf(authority.issuer.subjectPublicKeyInfo))).toBe(true);
  });

  test.each(['superseded', undefined] as const)('is not what %s says', async (reason) => {
    const { serial } = await authority.issue(csr, 'tls-server');
    await expect(authority.status.revoke(serial, { sameKey: true, reason })).rejects.toMatchObject({ code: 'ERR_CA_REVOCATION_INVALID' }); // prettier-ignore
    expect(await authority.status.find(serial)).toBeUndefined();
  });
});
