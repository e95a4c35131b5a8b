import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildCsr } from '../../../../test/support/csr.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import type { CertificateAuthority } from '../certificate-authority.js';
import type { CaConfig } from '../config.js';
import { encodePem } from '../der/pem.js';
import type { OcspAllowance } from './ocsp-admission.js';
import type { OcspAnswer } from './ocsp-responder.js';

const day = 86_400_000;
const profiles = {
  server: { extends: 'tls-server' },
  short: { extends: 'tls-server', validityDays: 2 },
  silent: { extends: 'tls-server', ocsp: [] },
};

describe('OCSP responses before anybody asks', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-presign-'));
  afterAll(() => rmSync(directory, { recursive: true }));
  let ca: TestCa;
  let authority: CertificateAuthority;
  beforeEach(async () => {
    ca = await TestCa.create();
  });
  afterEach(() => ca.remove());

  const open = async (ocsp: CaConfig['ocsp'] = {}): Promise<CertificateAuthority> => ca.open({ ocsp, profiles });
  const issue = async (profile = 'server'): Promise<string> => (await authority.issue(buildCsr(), profile)).serial;
  const request = (serial: string, ...options: string[]): Buffer => {
    const [issuer, file] = ['issuer.pem', 'request.der'].map((name) => join(directory, name));
    writeFileSync(issuer, encodePem('CERTIFICATE', authority.issuer.certificate.der));
    execFileSync('openssl', [
      'ocsp',
      '-sha1',
      '-issuer',
      issuer,
      ...options,
      '-serial',
      `0x${serial}`,
      '-reqout',
      file,
    ]);
    return readFileSync(file);
  };
  const ask = async (serial: string, allowance?: OcspAllowance): Promise<OcspAnswer> => {
    const { ocsp } = authority.status;
    if (ocsp === undefined) throw new Error('want OCSP, got none');
    return ocsp.respond(request(serial, '-no_nonce'), allowance);
  };
  /** As long as a certificate may still be under way. */
  const settle = (): void => {
    ca.now = new Date(ca.now.getTime() + 120_000);
  };

  test('are signed for each that lives longer than a response and names a responder, once, whoever of two replicas does it', async () => {
    authority = await open();
    const replica = await open();
    const serials = [await issue(), await issue(), await issue()];
    const [short, silent] = [await issue('short'), await issue('silent')];
    const before = ca.token.signatures;
    await authority.status.refreshOcsp();
    expect(ca.token.signatures).toBe(before);
    settle();
    await Promise.all([authority.status.refreshOcsp(), replica.status.refreshOcsp()]);
    expect(ca.token.signatures - before).toBe(3);
    const answers = await Promise.all(serials.map((serial) => ask(serial)));
    expect(answers.map(({ outcome }) => outcome)).toEqual(['successful', 'successful', 'successful']);
    expect(ca.token.signatures - before).toBe(3);
    await Promise.all([ask(short), ask(silent)]);
    expect(ca.token.signatures - before).toBe(5);
    await authority.close();
    await replica.close();
  });

  test('what could not be signed is signed later, and meanwhile for whoever asks', async () => {
    authority = await open();
    const serials = [await issue(), await issue()];
    settle();
    ca.token.fault = () => {
      throw new Error('HSM down');
    };
    await expect(authority.status.refreshOcsp()).rejects.toThrow('HSM down');
    ca.token.fault = undefined;
    const before = ca.token.signatures;
    expect((await ask(serials[0])).outcome).toBe('successful');
    expect(ca.token.signatures - before).toBe(1);
    settle();
    await authority.status.refreshOcsp();
    expect(ca.token.signatures - before).toBe(2);
    expect((await ask(serials[1])).outcome).toBe('successful');
    expect(ca.token.signatures - before).toBe(2);
    await authority.close();
  });

  test('a revocation is not undone by what was enlisted before it', async () => {
    authority = await open();
    const serial = await issue();
    await authority.status.revoke(serial);
    const { der } = await ask(serial);
    settle();
    await authority.status.refreshOcsp();
    expect((await ask(serial)).der).toEqual(der);
    await authority.close();
  });

  test('are signed for what was asked for once, if that is wanted', async () => {
    authority = await open({ presign: 'asked' });
    const serial = await issue();
    await issue();
    await ask(serial);
    const before = ca.token.signatures;
    ca.now = new Date(ca.now.getTime() + 3 * day);
    await authority.status.refreshOcsp();
    expect(ca.token.signatures - before).toBe(1);
    await authority.close();
  });

  test('whoever has used up what they may cost gets what is signed, and nothing that is not', async () => {
    authority = await open();
    const serials = [await issue(), await issue()];
    await ask(serials[0]);
    let left = 2;
    const allowance = {
      asker: '192.0.2.1',
      retryAfterSeconds: 7,
      get isSpent() {
        return left <= 0;
      },
      spend: () => void (left -= 1),
    };
    const unknown = '00112233445566778899aabbccddeeff';
    expect((await ask(unknown, allowance)).outcome).toBe('unauthorized');
    expect((await ask(unknown, allowance)).outcome).toBe('unauthorized');
    expect(await ask(unknown, allowance)).toMatchObject({ outcome: 'tryLater', retryAfterSeconds: 7 });
    expect((await ask(serials[0], allowance)).outcome).toBe('successful');
    expect((await ask(serials[1], allowance)).outcome).toBe('tryLater');
    const before = ca.token.signatures;
    const withNonce = await authority.status.ocsp?.respond(request(serials[0], '-nonce'), allowance);
    expect([withNonce?.outcome, ca.token.signatures - before]).toEqual(['tryLater', 0]);
    expect((await ask(serials[1])).outcome).toBe('successful');
    await authority.close();
  });
});
