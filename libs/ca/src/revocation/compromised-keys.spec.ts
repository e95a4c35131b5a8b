import { generateKeyPairSync } from 'node:crypto';
import { buildCsr } from '../../../../test/support/csr.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import type { CertificateAuthority } from '../certificate-authority.js';
import { CompromisedKeys1764500000000 } from '../store/typeorm/migrations/1764500000000-compromised-keys.js';

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
});
