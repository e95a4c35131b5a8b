import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IssuerCrl } from './issuer-crl.js';

/** Another CA, whose tool is openssl. */
describe('the CRL of an issuer of client certificates', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-issuer-crl-'));
  const path = (name: string): string => join(directory, name);
  const certificate = (name: string): X509Certificate => new X509Certificate(readFileSync(path(`${name}.pem`)));
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  let now: Date;
  let refusals: string[];
  let crl: IssuerCrl;

  beforeAll(() => {
    const settings = (name: string): string =>
      `[${name}]\ndatabase=${name}.txt\ncrlnumber=${name}.number\ndefault_md=sha256\ncertificate=${name}.pem\nprivate_key=${name}.key\n`;
    writeFileSync(path('openssl.cnf'), `${settings('ca')}crl_extensions=plain\n${settings('other')}crl_extensions=plain\n[plain]\nauthorityKeyIdentifier=keyid\n[shard]\nissuingDistributionPoint=critical,@idp\n[idp]\nonlyuser=TRUE\n`); // prettier-ignore
    const key = (name: string): string[] => ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`, '-subj', `/CN=${name}`]; // prettier-ignore
    for (const name of ['ca', 'other', 'mute']) {
      const usage = name === 'mute' ? 'keyUsage=critical,keyCertSign' : 'keyUsage=critical,keyCertSign,cRLSign';
      openssl('req', '-x509', ...key(name), '-days', '9', '-addext', usage, '-out', `${name}.pem`);
      writeFileSync(path(`${name}.txt`), '');
      writeFileSync(path(`${name}.number`), '01\n');
    }
    for (const name of ['good', 'stolen']) {
      openssl('req', '-new', ...key(name), '-out', `${name}.csr`);
      openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', '9', '-out', `${name}.pem`); // prettier-ignore
    }
    openssl('ca', '-config', 'openssl.cnf', '-name', 'ca', '-gencrl', '-crldays', '5', '-crl_lastupdate', '20251201000000Z', '-out', 'older'); // prettier-ignore
    openssl('ca', '-config', 'openssl.cnf', '-name', 'ca', '-revoke', 'stolen.pem');
    for (const [file, name, ...more] of [
      ['sound', 'ca'],
      ['of another issuer', 'other'],
      ['of some certificates alone', 'ca', '-crlexts', 'shard'],
    ])
      openssl('ca', '-config', 'openssl.cnf', '-name', name, '-gencrl', '-crldays', '5', '-crl_lastupdate', '20260101000000Z', ...more, '-out', file); // prettier-ignore
    openssl('crl', '-in', 'sound', '-outform', 'DER', '-out', 'in DER');
    const der = readFileSync(path('in DER'));
    writeFileSync(
      path('of another signature'),
      Buffer.concat([der.subarray(0, -1), Buffer.of(der[der.length - 1] ^ 1)]),
    );
    writeFileSync(path('cut off'), der.subarray(0, -9));
    writeFileSync(path('of noise'), 'noise');
  });
  afterAll(() => rmSync(directory, { recursive: true }));
  beforeEach(() => {
    now = new Date();
    refusals = [];
    crl = new IssuerCrl(path('current'), certificate('ca'), () => now, (message) => refusals.push(message)); // prettier-ignore
  });
  const put = async (name: string): Promise<void> => {
    writeFileSync(path('current'), readFileSync(path(name)));
    await crl.look();
  };
  const allowed = (): boolean[] => ['good', 'stolen'].map((name) => crl.allows(certificate(name)));

  test.each(['sound', 'in DER'])('%s refuses what it lists, and nothing else', async (name) => {
    await put(name);
    expect(allowed()).toEqual([true, false]);
    expect(refusals).toEqual([]);
  });

  test.each([
    ['of another issuer', /want the name of the configured issuer/],
    ['of some certificates alone', /want a complete CRL, got one with the critical extension 2\.5\.29\.28/],
    ['of another signature', /CRL signature/],
    ['cut off', /want a CertificateList/],
    ['of noise', /want DER, or one PEM block/],
  ])('one %s lets nobody in, also after a sound one, and says so once', async (name, message) => {
    await put('sound');
    await put(name);
    await crl.look();
    expect(allowed()).toEqual([false, false]);
    expect(refusals).toEqual([expect.stringMatching(message)]);
    await put('sound');
    expect(allowed()).toEqual([true, false]);
  });

  test('a file that is gone, or was not there yet, lets nobody in', async () => {
    expect(allowed()).toEqual([false, false]);
    rmSync(path('current'), { force: true });
    await crl.look();
    expect(refusals).toEqual([expect.stringMatching(/ENOENT/)]);
    await put('sound');
    expect(allowed()).toEqual([true, false]);
    rmSync(path('current'));
    await crl.look();
    expect(allowed()).toEqual([false, false]);
  });

  test('one that has ended lets nobody in', async () => {
    await put('sound');
    now = new Date(now.getTime() + 10 * 86_400_000);
    expect(allowed()).toEqual([false, false]);
    await crl.look();
    expect(refusals).toEqual([expect.stringMatching(/got one from 2026-01-01T00:00:00.000Z to /)]);
  });

  test('an older one takes nothing back', async () => {
    await put('older');
    expect(allowed()).toEqual([true, true]);
    await put('sound');
    await put('older');
    expect(allowed()).toEqual([true, false]);
    expect(refusals).toEqual([]);
  });

  test('one of a key that may not sign CRLs lets nobody in', async () => {
    writeFileSync(path('openssl.cnf'), readFileSync(path('openssl.cnf'), 'utf8').replaceAll('other.', 'mute.'));
    openssl('ca', '-config', 'openssl.cnf', '-name', 'other', '-gencrl', '-crldays', '5', '-out', 'current');
    const mute = new IssuerCrl(path('current'), certificate('mute'), () => now, (message) => refusals.push(message)); // prettier-ignore
    await mute.look();
    expect(refusals).toEqual([expect.stringMatching(/cRLSign/)]);
  });
});
